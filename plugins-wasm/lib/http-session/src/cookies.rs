//! The cookies of one session (RFC 6265, without a list of public suffixes).

use std::time::Duration;

use autoexec_sdk::clock;
use cookie::Cookie;
use fluent_uri::Uri;

/// Cookies that servers have set.
#[derive(Debug, Default)]
pub(crate) struct Jar(Vec<Stored>);

#[derive(Debug)]
struct Stored {
    name: String,
    value: String,
    domain: String,
    /// Only the host that set it gets it.
    is_host_only: bool,
    path: String,
    is_secure: bool,
}

impl Jar {
    /// Takes the value of one `Set-Cookie` header. What can not be understood, or is for another site, is left out.
    pub(crate) fn store(&mut self, url: &Uri<String>, header: &str) {
        let Ok(cookie) = Cookie::parse(header) else { return };
        let host = host(url);
        let domain = cookie.domain().map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
        let domain = domain.filter(|domain| !domain.is_empty());
        if domain
            .as_ref()
            .is_some_and(|domain| !is_below(&host, domain) || (!domain.contains('.') && *domain != host))
        {
            return;
        }
        let path = cookie.path().filter(|path| path.starts_with('/')).map(str::to_owned);
        let stored = Stored {
            name: cookie.name().to_owned(),
            value: cookie.value().to_owned(),
            is_host_only: domain.is_none(),
            domain: domain.unwrap_or(host),
            path: path.unwrap_or_else(|| default_path(url.path().as_str())),
            is_secure: cookie.secure().unwrap_or(false),
        };
        let is_same =
            |own: &Stored| own.name == stored.name && own.domain == stored.domain && own.path == stored.path;
        self.0.retain(|own| !is_same(own));
        if !is_over(&cookie) {
            self.0.push(stored);
        }
    }

    /// The value of the header `Cookie` for a request; none without cookies for it.
    pub(crate) fn header(&self, url: &Uri<String>) -> Option<String> {
        let (host, path) = (host(url), url.path().as_str());
        let is_https = url.scheme().as_str().eq_ignore_ascii_case("https");
        let fits = |own: &&Stored| {
            let domain = if own.is_host_only { own.domain == host } else { is_below(&host, &own.domain) };
            domain && path_fits(path, &own.path) && (is_https || !own.is_secure)
        };
        let mut found: Vec<&Stored> = self.0.iter().filter(fits).collect();
        // Longer paths first, as servers expect it; the order of setting otherwise.
        found.sort_by_key(|own| std::cmp::Reverse(own.path.len()));
        let pairs: Vec<String> = found.iter().map(|own| format!("{}={}", own.name, own.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

fn host(url: &Uri<String>) -> String {
    url.authority().map(|authority| authority.host().to_ascii_lowercase()).unwrap_or_default()
}

/// Whether a host is a domain or below it. Addresses have nothing below them.
fn is_below(host: &str, domain: &str) -> bool {
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    host == domain || (!is_address && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

fn path_fits(path: &str, of_cookie: &str) -> bool {
    let path = if path.is_empty() { "/" } else { path };
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || of_cookie.ends_with('/'))
}

fn default_path(path: &str) -> String {
    match path.rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(at) => path.get(..at).unwrap_or("/").to_owned(),
    }
}

/// Whether the server takes it back.
fn is_over(cookie: &Cookie<'_>) -> bool {
    if let Some(age) = cookie.max_age() {
        return !age.is_positive();
    }
    let now = i64::try_from(clock::since_epoch().max(Duration::ZERO).as_secs()).unwrap_or(i64::MAX);
    cookie.expires_datetime().is_some_and(|end| end.unix_timestamp() <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    fn uri(text: &str) -> Uri<String> {
        Uri::parse(text).unwrap().to_owned()
    }

    fn jar(url: &str, headers: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for header in headers {
            jar.store(&uri(url), header);
        }
        jar
    }

    #[test]
    fn cookies_go_back_where_they_came_from() {
        let _host = Host::new();
        let jar =
            jar("http://app.example.net/a/login", &["one=1", "two=2; Path=/", "three=3; Secure; Path=/"]);
        let header = |url: &str| jar.header(&uri(url));
        assert_eq!(header("http://app.example.net/a/b").as_deref(), Some("one=1; two=2"));
        assert_eq!(header("http://app.example.net/ab").as_deref(), Some("two=2"));
        assert_eq!(header("https://app.example.net").as_deref(), Some("two=2; three=3"));
        assert_eq!(header("http://www.app.example.net/"), None);
        assert_eq!(header("http://example.net/"), None);
    }

    #[test]
    fn a_domain_is_shared_but_never_another_sites() {
        let _host = Host::new();
        let shared = jar("http://app.example.net/", &["s=1; Domain=.Example.net"]);
        assert!(shared.header(&uri("http://www.example.net/")).is_some());
        assert!(shared.header(&uri("http://badexample.net/")).is_none());
        for domain in ["other.net", "net", "www.app.example.net"] {
            let jar = jar("http://app.example.net/", &[&format!("s=1; Domain={domain}")]);
            assert_eq!(jar.header(&uri("http://app.example.net/")), None, "{domain}");
        }
    }

    #[test]
    fn a_cookie_is_replaced_and_taken_back() {
        let _host = Host::new();
        let get = |headers: &[&str]| jar("http://h/", headers).header(&uri("http://h/"));
        assert_eq!(get(&["s=1", "s=2"]).as_deref(), Some("s=2"));
        assert_eq!(get(&["s=1", "s=; Max-Age=0"]), None);
        assert_eq!(get(&["s=1", "s=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]), None);
        assert_eq!(get(&["s=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT"]).as_deref(), Some("s=1"));
        assert_eq!(get(&["", "=", ";;"]), None);
    }
}
