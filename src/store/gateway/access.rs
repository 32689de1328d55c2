//! How to reach the embedded ClickHouse: `clickhouse.toml` in its data directory, readable by its owner only.
//!
//! The passwords are made once and stay, so that a BI tool that was set up with the reader keeps working.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use hearken_connectors::secret::Secret;
use serde::{Deserialize, Serialize};

use super::Credentials;

const FILE: &str = "clickhouse.toml";

/// Address and users of an embedded ClickHouse.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where it listened last; `None` before its first start.
    pub address: Option<SocketAddr>,
    /// May do everything.
    pub owner: Credentials,
    /// May read tables; for BI tools.
    pub reader: Credentials,
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
    owner: User,
    reader: User,
}

#[derive(Serialize, Deserialize)]
struct User {
    user: String,
    password: String,
}

impl Access {
    /// Path of the file that keeps it.
    pub fn path(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Reads what the data directory keeps; makes both, with new passwords, where they do not exist.
    pub fn open(data: &Path) -> io::Result<Self> {
        match fs::read_to_string(Self::path(data)) {
            Ok(text) => {
                let file: File = toml::from_str(&text).map_err(|error| {
                    // The parser's message quotes the file, and the file holds passwords.
                    let place = error.span().map(|span| format!(" at byte {}", span.start)).unwrap_or_default();
                    io::Error::new(io::ErrorKind::InvalidData, format!("`{FILE}` is damaged{place}; remove it"))
                })?;
                Ok(Self { address: file.address, owner: file.owner.into(), reader: file.reader.into() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
                let access = Self { address: None, owner: generate("hearken")?, reader: generate("reader")? };
                access.save(data)?;
                Ok(access)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps it; the file is replaced as a whole.
    pub fn save(&self, data: &Path) -> io::Result<()> {
        let file = File { address: self.address, owner: (&self.owner).into(), reader: (&self.reader).into() };
        let text = toml::to_string(&file).map_err(io::Error::other)?;
        let new = data.join(format!(".{FILE}.{}", std::process::id()));
        let mut open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        fs::rename(&new, Self::path(data))
    }
}

impl From<User> for Credentials {
    fn from(user: User) -> Self {
        Self { user: user.user, password: Secret::generated(user.password) }
    }
}

impl From<&Credentials> for User {
    fn from(credentials: &Credentials) -> Self {
        Self { user: credentials.user.clone(), password: credentials.password.expose().to_owned() }
    }
}

/// A user with a random password of 128 bits.
fn generate(user: &str) -> io::Result<Credentials> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let password = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Credentials { user: user.to_owned(), password: Secret::generated(password) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_stay_and_only_their_owner_can_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("clickhouse");
        let mut first = Access::open(&data).unwrap();
        first.address = Some("127.0.0.1:4242".parse().unwrap());
        first.save(&data).unwrap();
        let second = Access::open(&data).unwrap();
        assert_eq!(second.address, first.address);
        assert_eq!(second.owner.password, first.owner.password);
        assert_ne!(second.owner.password, second.reader.password);
        assert_eq!(fs::metadata(Access::path(&data)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_without_its_content() {
        let data = tempfile::tempdir().unwrap();
        fs::write(Access::path(data.path()), "[owner]\npassword = hunter2").unwrap();
        let error = Access::open(data.path()).unwrap_err().to_string();
        assert!(error.contains("clickhouse.toml") && !error.contains("hunter2"), "{error}");
    }
}
