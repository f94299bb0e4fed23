//! Addresses of databases: checked, completed and shown, never with their password.

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::bundle::StateStore;

/// What is wrong with the address of a database.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AddressError {
    #[error("is no URL: {0}")]
    NotAUrl(String),
    #[error("begins with `{found}://`, not with `{wanted}://`")]
    Scheme { found: String, wanted: &'static str },
    #[error("holds a password, which does not belong into a file")]
    Password,
    #[error("names no user: `{0}://USER@HOST/DATABASE`")]
    NoUser(&'static str),
    #[error("names no database: `{0}://USER@HOST/DATABASE`")]
    NoDatabase(&'static str),
}

/// A kind of database server, with the schemes of its URLs and what asks for TLS in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    Postgres,
    Mysql,
}

impl ServerKind {
    fn schemes(self) -> [&'static str; 2] {
        match self {
            ServerKind::Postgres => ["postgres", "postgresql"],
            ServerKind::Mysql => ["mysql", "mariadb"],
        }
    }

    fn tls(self) -> (&'static str, &'static str) {
        match self {
            ServerKind::Postgres => ("sslmode", "require"),
            ServerKind::Mysql => ("ssl-mode", "REQUIRED"),
        }
    }

    /// Reads a server's URL as it stands in a file.
    pub fn read(self, text: &str) -> Result<Url, AddressError> {
        let url = Url::parse(text).map_err(|error| AddressError::NotAUrl(error.to_string()))?;
        let wanted = self.schemes()[0];
        let query: Vec<String> = url.query_pairs().map(|(name, _)| name.into()).collect();
        if !self.schemes().contains(&url.scheme()) {
            let found = url.scheme().to_owned();
            Err(AddressError::Scheme { found, wanted })
        } else if url.password().is_some() || query.iter().any(|name| name == "password") {
            Err(AddressError::Password)
        } else if url.username().is_empty() {
            Err(AddressError::NoUser(wanted))
        } else if url.path().trim_matches('/').is_empty() {
            Err(AddressError::NoDatabase(wanted))
        } else {
            Ok(url)
        }
    }

    /// The URL to connect with: with its password, and over TLS unless the server is
    /// this machine or the URL says otherwise.
    fn complete(self, mut url: Url, password: &SecretString) -> SecretString {
        let says = url
            .query_pairs()
            .any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode" | "host" | "socket"));
        if !says && !is_this_machine(&url) {
            let (name, value) = self.tls();
            url.query_pairs_mut().append_pair(name, value);
        }
        // Only a URL without a host refuses a password; a socket's user needs none then.
        let _ = url.set_password(Some(password.expose_secret()));
        String::from(url).into()
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name == "127.0.0.1",
        None => true,
    }
}

/// The URL to connect with; `None` for the bucket, which needs none.
pub fn connection(
    store: &StateStore,
    password: &SecretString,
) -> Result<Option<SecretString>, AddressError> {
    let server = |kind: ServerKind, url: &str| Ok(kind.complete(kind.read(url)?, password));
    match store {
        StateStore::Bucket => Ok(None),
        StateStore::Sqlite { path } => Ok(Some(sqlite(path).into())),
        StateStore::Postgres(at) => server(ServerKind::Postgres, &at.url).map(Some),
        StateStore::Mysql(at) => server(ServerKind::Mysql, &at.url).map(Some),
    }
}

/// A path may hold what means something in a URL.
fn sqlite(path: &str) -> String {
    const UNSAFE: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'.')
        .remove(b'-')
        .remove(b'_');
    let path = percent_encoding::utf8_percent_encode(path, UNSAFE);
    format!("sqlite://{path}?mode=rwc")
}

/// How a store is shown: `postgres://xetl@10.0.0.3/xetl`.
pub fn shown(store: &StateStore) -> String {
    match store {
        StateStore::Bucket => "the bucket".to_owned(),
        StateStore::Sqlite { path } => format!("sqlite {path}"),
        StateStore::Postgres(at) | StateStore::Mysql(at) => match Url::parse(&at.url) {
            Ok(mut url) => {
                let _ = url.set_password(None);
                url.set_query(None);
                url.into()
            }
            Err(_) => "a database without an address".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{SecretRef, Server};

    fn postgres(url: &str) -> StateStore {
        StateStore::Postgres(Server {
            url: url.into(),
            password: SecretRef {
                env: "E".into(),
                secret: "s".into(),
            },
        })
    }

    fn connected(url: &str, password: &str) -> String {
        let url = connection(&postgres(url), &password.into()).unwrap();
        url.unwrap().expose_secret().to_owned()
    }

    #[test]
    fn a_password_with_anything_in_it_goes_into_the_url() {
        let url = connected("postgres://u@127.0.0.1:1/d", "p@s:s/w?rd#%é");
        assert_eq!(
            url,
            "postgres://u:p%40s%3As%2Fw%3Frd%23%é@127.0.0.1:1/d".replace('é', "%C3%A9")
        );
    }

    #[test]
    fn a_server_elsewhere_is_spoken_to_over_tls_unless_the_url_says_otherwise() {
        assert!(connected("postgres://u@db/d", "p").ends_with("/d?sslmode=require"));
        let url = "postgres://u@db/d?sslmode=disable";
        assert!(connected(url, "p").ends_with("/d?sslmode=disable"));
        let url = "postgres://u@localhost/d?host=/cloudsql/p:r:i";
        assert!(connected(url, "p").ends_with("?host=/cloudsql/p:r:i"));
    }

    #[test]
    fn an_address_that_cannot_be_used_says_why() {
        let problem = |url: &str| ServerKind::Mysql.read(url).unwrap_err().to_string();
        insta::assert_snapshot!(problem("postgres://u@h/d"), @"begins with `postgres://`, not with `mysql://`");
        insta::assert_snapshot!(problem("mysql://u:p@h/d"), @"holds a password, which does not belong into a file");
        insta::assert_snapshot!(problem("mysql://u@h"), @"names no database: `mysql://USER@HOST/DATABASE`");
        insta::assert_snapshot!(problem("mysql://h/d"), @"names no user: `mysql://USER@HOST/DATABASE`");
        insta::assert_snapshot!(problem("h/d"), @"is no URL: relative URL without a base");
    }

    #[test]
    fn an_address_is_shown_without_password_or_options() {
        let shown = shown(&postgres("postgres://u:secret@h:5/d?sslmode=require"));
        assert_eq!(shown, "postgres://u@h:5/d");
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(
            sqlite("/a b/%?#.db"),
            "sqlite:///a%20b/%25%3F%23.db?mode=rwc"
        );
    }
}
