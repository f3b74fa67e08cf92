//! Requests as jobs write them.

use std::fmt;

/// One request of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In capitals.
    pub method: String,
    /// As it is asked.
    pub url: String,
    /// What is sent along.
    pub body: Option<String>,
    /// How that is written.
    pub content_type: Option<&'static str>,
}

/// The content type of JSON documents.
pub const JSON: &str = "application/json";

/// The content type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A text that is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no request: write METHOD,URL or METHOD,URL,BODY", shown(&self.0))
    }
}

impl std::error::Error for Malformed {}

impl Request {
    /// A request for a page.
    pub fn get(url: impl Into<String>) -> Self {
        Self { method: "GET".to_owned(), url: url.into(), body: None, content_type: None }
    }

    /// Reads `METHOD,URL[,BODY]`. The body is all that follows the second comma: JSON where it begins like a document, a form
    /// otherwise. A URL alone is asked with GET.
    ///
    /// # Errors
    /// There is no method or no URL.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        if is_url(text) {
            return Ok(Self::get(text));
        }
        let mut parts = text.splitn(3, ',').map(str::trim);
        let method = parts.next().unwrap_or_default();
        let url = parts.next().unwrap_or_default();
        let body = parts.next().filter(|body| !body.is_empty());
        if method.is_empty() || !method.chars().all(|c| c.is_ascii_alphabetic()) || url.is_empty() {
            return Err(Malformed(text.to_owned()));
        }
        Ok(Self {
            method: method.to_ascii_uppercase(),
            url: url.to_owned(),
            content_type: body.map(|body| if body.starts_with(['{', '[']) { JSON } else { FORM }),
            body: body.map(str::to_owned),
        })
    }

    /// Whether an answer with this status is a failure. Of a POST it is every status from 400 on; of others 401, 404 and
    /// every status from 500 on, since a page that wants another account is there.
    pub fn fails_with(&self, status: u16) -> bool {
        match self.method.as_str() {
            "POST" => status >= 400,
            _ => matches!(status, 401 | 404) || status >= 500,
        }
    }
}

fn is_url(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// A URL for the log: values of parameters whose names speak of secrets are left out, and so is what stands in front of the
/// host.
pub fn shown(url: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let base = match base.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://***@{host}{path}"),
                None => base.to_owned(),
            }
        }
        None => base.to_owned(),
    };
    let Some(query) = query else { return base };
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if speaks_of_secrets(name) => format!("{name}=***"),
        _ => parameter.to_owned(),
    });
    format!("{base}?{}", parameters.collect::<Vec<_>>().join("&"))
}

fn speaks_of_secrets(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "token", "secret", "apikey", "api_key"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str, body: Option<&str>) -> Request {
        let content_type = body.map(|_| JSON);
        Request { method: method.into(), url: url.into(), body: body.map(str::to_owned), content_type }
    }

    #[test]
    fn a_body_keeps_its_commas() {
        assert_eq!(Request::parse("GET , http://h/"), Ok(request("GET", "http://h/", None)));
        assert_eq!(
            Request::parse("post,http://h/x, {\"a\": 1, \"b\": 2}"),
            Ok(request("POST", "http://h/x", Some("{\"a\": 1, \"b\": 2}")))
        );
        assert_eq!(Request::parse(" https://h/a,b "), Ok(request("GET", "https://h/a,b", None)));
    }

    #[test]
    fn what_is_no_request_is_named_without_its_secrets() {
        for text in ["", "GET", "GET,", ",http://h/", "G T,http://h"] {
            assert!(Request::parse(text).is_err(), "{text}");
        }
        let malformed = Request::parse("G T,http://h/?password=x").unwrap_err();
        assert!(!malformed.to_string().contains("=x"), "{malformed}");
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(
            shown("http://u:p@h:80/a?x=1&Password=p&accessToken=t"),
            "http://***@h:80/a?x=1&Password=***&accessToken=***"
        );
        assert_eq!(shown("http://h/a@b"), "http://h/a@b");
    }

    #[test]
    fn a_post_fails_earlier_than_others() {
        let (get, post) = (request("GET", "http://h", None), request("POST", "http://h", None));
        for (status, of_get, of_post) in [
            (200, false, false),
            (302, false, false),
            (401, true, true),
            (403, false, true),
            (404, true, true),
            (503, true, true),
        ] {
            assert_eq!((get.fails_with(status), post.fails_with(status)), (of_get, of_post), "{status}");
        }
    }
}
