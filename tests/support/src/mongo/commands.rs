//! The commands of one connection.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc, oid::ObjectId};

use super::scram::Login;
use super::{MongoCommand, Shared, State, matching};

/// Documents in the first reply to a search, as the real server has it.
const FIRST_BATCH: usize = 101;
const LARGEST_DOCUMENT: usize = 16 << 20;

/// What a server knows of one connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    login: Option<Login>,
    is_in: bool,
}

impl Connection {
    /// The reply to a command.
    pub(super) fn answer(&mut self, shared: &Shared, body: &Document) -> Document {
        let name = body.keys().next().cloned().unwrap_or_default();
        match name.as_str() {
            "hello" | "isMaster" | "ismaster" => return hello(shared, body),
            "saslStart" => return self.start_login(shared, body).unwrap_or_else(denied),
            "saslContinue" => return self.go_on(body).unwrap_or_else(denied),
            "ping" | "endSessions" => return ok(),
            _ => {}
        }
        let collection = body.get_str(&name).unwrap_or_default().to_owned();
        let mut state = shared.state();
        state.commands.push(MongoCommand {
            name: name.clone(),
            collection: collection.clone(),
            body: body.clone(),
        });
        if shared.user.is_some() && !self.is_in {
            return error(13, &format!("Command {name} requires authentication"));
        }
        match name.as_str() {
            "find" => state.find(&collection, body),
            "getMore" => state.get_more(body),
            "killCursors" => ok(),
            "insert" => state.insert(&collection, body),
            "update" => state.update(&collection, body),
            "delete" => state.delete(&collection, body),
            _ => error(59, &format!("no such command: '{name}'")),
        }
    }

    fn start_login(&mut self, shared: &Shared, body: &Document) -> Option<Document> {
        let user = shared.user.as_ref()?;
        if body.get_str("mechanism").ok()? != "SCRAM-SHA-256" || body.get_str("$db").ok()? != "admin" {
            return None;
        }
        let skips = body
            .get_document("options")
            .is_ok_and(|options| flag(options, "skipEmptyExchange") == Some(true));
        let message = payload(body)?;
        let (login, reply) = Login::begin(user, &message, skips)?;
        self.login = Some(login);
        Some(conversation(reply, false))
    }

    fn go_on(&mut self, body: &Document) -> Option<Document> {
        let message = payload(body)?;
        if self.is_in {
            return Some(conversation(String::new(), true));
        }
        let login = self.login.take()?;
        let reply = login.finish(&message)?;
        self.is_in = true;
        Some(conversation(reply, login.skips_last))
    }
}

fn payload(body: &Document) -> Option<String> {
    String::from_utf8(body.get_binary_generic("payload").ok()?.clone()).ok()
}

fn conversation(payload: String, done: bool) -> Document {
    let payload = Binary { subtype: BinarySubtype::Generic, bytes: payload.into_bytes() };
    doc! { "conversationId": 1, "done": done, "payload": payload, "ok": 1.0 }
}

fn denied() -> Document {
    error(18, "Authentication failed.")
}

fn hello(shared: &Shared, body: &Document) -> Document {
    let mut reply = doc! {
        "helloOk": true, "ismaster": true, "isWritablePrimary": true, "readOnly": false,
        "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
        "localTime": DateTime::now(), "logicalSessionTimeoutMinutes": 30,
        "minWireVersion": 0, "maxWireVersion": 21, "ok": 1.0,
    };
    if let (Ok(asked), Some(user)) = (body.get_str("saslSupportedMechs"), &shared.user)
        && asked == format!("admin.{}", user.name)
    {
        reply.insert("saslSupportedMechs", vec!["SCRAM-SHA-256"]);
    }
    reply
}

fn ok() -> Document {
    doc! { "ok": 1.0 }
}

fn error(code: i32, message: &str) -> Document {
    doc! { "ok": 0.0, "errmsg": message, "code": code, "codeName": "Error" }
}

fn count(number: usize) -> Bson {
    i32::try_from(number).map_or(Bson::Int64(i64::MAX), Bson::Int32)
}

fn flag(body: &Document, key: &str) -> Option<bool> {
    body.get_bool(key).ok()
}

/// A whole number of any type.
fn whole(body: &Document, key: &str) -> Option<i64> {
    match body.get(key)? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => None,
    }
}

fn documents<'a>(body: &'a Document, key: &str) -> impl Iterator<Item = &'a Document> {
    body.get_array(key).map(Vec::as_slice).unwrap_or_default().iter().filter_map(Bson::as_document)
}

impl State {
    fn find(&mut self, collection: &str, body: &Document) -> Document {
        let (none, all) = (Document::new(), Vec::new());
        let filter = body.get_document("filter").unwrap_or(&none);
        let projection = body.get_document("projection").unwrap_or(&none);
        let limit =
            whole(body, "limit").and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        let mut found = Vec::new();
        for document in self.collections.get(collection).unwrap_or(&all) {
            match matching::matches(document, filter) {
                Ok(true) => found.push(matching::project(document, projection)),
                Ok(false) => {}
                Err(problem) => return error(2, &problem),
            }
        }
        found.truncate(limit.unwrap_or(usize::MAX));
        let rest = found.split_off(found.len().min(FIRST_BATCH));
        let cursor = self.keep(rest);
        doc! { "cursor": { "id": cursor, "ns": format!("db.{collection}"), "firstBatch": found }, "ok": 1.0 }
    }

    fn get_more(&mut self, body: &Document) -> Document {
        let cursor = whole(body, "getMore").unwrap_or_default();
        let Some(mut found) = self.cursors.remove(&cursor) else { return error(43, "cursor not found") };
        let rest = found.split_off(found.len().min(FIRST_BATCH));
        let cursor = self.keep(rest);
        doc! { "cursor": { "id": cursor, "ns": "db.collection", "nextBatch": found }, "ok": 1.0 }
    }

    /// The id of a cursor for what is left; 0 for nothing.
    fn keep(&mut self, rest: Vec<Document>) -> i64 {
        if rest.is_empty() {
            return 0;
        }
        let id = self.cursors.keys().max().copied().unwrap_or(1000) + 1;
        self.cursors.insert(id, rest);
        id
    }

    fn insert(&mut self, collection: &str, body: &Document) -> Document {
        let new: Vec<Document> = documents(body, "documents").cloned().collect();
        let inserted = count(new.len());
        self.collections.entry(collection.to_owned()).or_default().extend(new);
        doc! { "n": inserted, "ok": 1.0 }
    }

    fn delete(&mut self, collection: &str, body: &Document) -> Document {
        let stored = self.collections.entry(collection.to_owned()).or_default();
        let before = stored.len();
        for delete in documents(body, "deletes") {
            let Ok(filter) = delete.get_document("q") else { return error(40, "q is missing") };
            let mut left = whole(delete, "limit").filter(|limit| *limit > 0).unwrap_or(i64::MAX);
            stored.retain(|document| {
                let goes = left > 0 && matching::matches(document, filter) == Ok(true);
                left -= i64::from(goes);
                !goes
            });
        }
        doc! { "n": count(before - stored.len()), "ok": 1.0 }
    }

    fn update(&mut self, collection: &str, body: &Document) -> Document {
        if let Some(refusal) = &self.refuse_writes {
            return error(refusal.code, &refusal.message);
        }
        let (mut written, mut new, mut errors) = (0, Vec::new(), Vec::new());
        let updates: Vec<&Document> = documents(body, "updates").collect();
        for (index, one) in updates.into_iter().enumerate() {
            match self.update_one(collection, one) {
                Ok(upserted) => {
                    written += 1;
                    new.extend(upserted.map(|id| doc! { "index": count(index), "_id": id }));
                }
                Err((code, message)) => {
                    errors.push(doc! { "index": count(index), "code": code, "errmsg": message });
                    if flag(body, "ordered") != Some(false) {
                        break;
                    }
                }
            }
        }
        let mut reply = doc! { "n": count(written), "nModified": count(written - new.len()), "ok": 1.0 };
        if !new.is_empty() {
            reply.insert("upserted", new);
        }
        if !errors.is_empty() {
            reply.insert("writeErrors", errors);
        }
        reply
    }

    /// Gives the id of a document that did not exist before.
    fn update_one(&mut self, collection: &str, update: &Document) -> Result<Option<Bson>, (i32, String)> {
        let part = |key| update.get_document(key).map_err(|_| (40, format!("{key} is missing")));
        let (filter, change) = (part("q")?, part("u")?);
        let stored = self.collections.entry(collection.to_owned()).or_default();
        let mut position = None;
        for (index, document) in stored.iter().enumerate() {
            if matching::matches(document, filter).map_err(|problem| (2, problem))? {
                position = Some(index);
                break;
            }
        }
        if position.is_none() && flag(update, "upsert") != Some(true) {
            return Ok(None);
        }
        let old = position.and_then(|index| stored.get(index)).cloned();
        let mut document = old.unwrap_or_else(|| {
            let mut new = doc! { "_id": ObjectId::new() };
            new.extend(filter.clone());
            new
        });
        matching::update(&mut document, change).map_err(|problem| (9, problem))?;
        if let Some(key) = matching::forbidden_key(&document) {
            return Err((52, format!("The dollar ($) prefixed field '{key}' is not valid for storage.")));
        }
        if document.to_vec().map_or(usize::MAX, |bytes| bytes.len()) > LARGEST_DOCUMENT {
            return Err((17419, "Resulting document after update is larger than 16777216".to_owned()));
        }
        if let Some(old) = position.and_then(|index| stored.get_mut(index)) {
            *old = document;
            return Ok(None);
        }
        let id = document.get("_id").cloned();
        stored.push(document);
        Ok(id)
    }
}
