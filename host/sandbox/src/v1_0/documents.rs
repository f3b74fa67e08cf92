//! `documents`.

use autoexec_grants::{Access, DataDirection};
use serde_json::{Map, Value};
use wasmtime::Result;

use super::bindings::autoexec::tool::documents;
use crate::border::Border;
use crate::host::DocumentError;
use crate::state::CallState;

impl documents::Host for CallState {
    async fn find(
        &mut self,
        collection: String,
        filter: String,
        limit: u32,
    ) -> Result<Result<Vec<String>, documents::DocumentError>> {
        let border = self.enter()?;
        let asked = border.asked("documents.find", &(&collection, &filter, limit))?;
        let act = async {
            find(&border, &collection, &filter, limit).await.map_err(documents::DocumentError::from)
        };
        Ok(asked.answers(act).await?)
    }

    async fn save(
        &mut self,
        collection: String,
        filter: String,
        document: String,
    ) -> Result<Result<(), documents::DocumentError>> {
        let border = self.enter()?;
        let asked = border.asked("documents.save", &(&collection, &filter, &document))?;
        let act = async {
            save(&border, &collection, &filter, &document).await.map_err(documents::DocumentError::from)
        };
        Ok(asked.answers(act).await?)
    }

    async fn remove(
        &mut self,
        collection: String,
        filter: String,
    ) -> Result<Result<u32, documents::DocumentError>> {
        let border = self.enter()?;
        let asked = border.asked("documents.remove", &(&collection, &filter))?;
        let act =
            async { remove(&border, &collection, &filter).await.map_err(documents::DocumentError::from) };
        Ok(asked.answers(act).await?)
    }
}

async fn find(
    border: &Border,
    collection: &str,
    filter: &str,
    limit: u32,
) -> Result<Vec<String>, DocumentError> {
    permit(border, collection, DataDirection::Read)?;
    let filter = object(filter, "filter")?;
    let host = alive(border)?;
    let store = host.documents().ok_or(DocumentError::None)?;
    let most = border.limits.response;
    let mut found = store.find(collection, filter, limit, most).await?;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let texts: Vec<String> = found.iter().map(Value::to_string).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes as u64 > most {
        return Err(DocumentError::TooLong(most));
    }
    Ok(texts)
}

async fn save(border: &Border, collection: &str, filter: &str, document: &str) -> Result<(), DocumentError> {
    permit(border, collection, DataDirection::Write)?;
    let (filter, document) = (object(filter, "filter")?, object(document, "document")?);
    let host = alive(border)?;
    host.documents().ok_or(DocumentError::None)?.save(collection, filter, document).await
}

async fn remove(border: &Border, collection: &str, filter: &str) -> Result<u32, DocumentError> {
    permit(border, collection, DataDirection::Write)?;
    let filter = object(filter, "filter")?;
    if filter.is_empty() {
        return Err(DocumentError::Invalid("an empty filter would remove the whole collection".into()));
    }
    let host = alive(border)?;
    host.documents().ok_or(DocumentError::None)?.remove(collection, filter).await
}

fn permit(border: &Border, collection: &str, direction: DataDirection) -> Result<(), DocumentError> {
    let access = Access::Documents { collection, direction };
    border.permit(&access).map_err(|denied| DocumentError::Denied(denied.0))
}

fn alive(border: &Border) -> Result<&std::sync::Arc<dyn crate::host::ToolHost>, DocumentError> {
    border.host().map_err(|over| DocumentError::Unavailable(over.to_string()))
}

fn object(text: &str, what: &str) -> Result<Map<String, Value>, DocumentError> {
    serde_json::from_str(text)
        .map_err(|error| DocumentError::Invalid(format!("the {what} is no JSON object: {error}")))
}

impl From<DocumentError> for documents::DocumentError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Denied(why) => Self::Denied(why),
            DocumentError::None => Self::None,
            DocumentError::Unavailable(why) => Self::Unavailable(why),
            DocumentError::Invalid(why) => Self::Invalid(why),
            error @ DocumentError::TooLong(_) => Self::Invalid(error.to_string()),
        }
    }
}
