//! A real Dovecot (IMAP and LMTP) on loopback, run by no privileged user, for as long as a test takes.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::smtp::hand_in;

/// How long the server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The mailbox that every server here has, and its password.
pub const MAILBOX: (&str, &str) = ("care", "s3cret p\"w\\d");

/// A running Dovecot with an empty mailbox; stopped, with all its workers, when it is dropped or when
/// the test's process ends.
pub struct Dovecot {
    dir: PathBuf,
    owner: Owner,
    child: Option<Child>,
    /// Port of IMAP, with STARTTLS.
    pub imap: u16,
    /// Port of IMAP over TLS.
    pub imaps: u16,
    /// Port of LMTP.
    pub lmtp: u16,
}

/// Who runs it: a server that is started as root refuses to touch mail as root.
struct Owner {
    user: String,
    group: String,
    /// Ids to change to.
    ids: Option<(u32, u32)>,
}

impl Dovecot {
    /// Starts one; says why not, and returns `None`, where there is none. On CI (environment variable
    /// `CI` set) that is a failure.
    pub fn start() -> Option<Self> {
        let missing = ["dovecot", "doveadm", "setpriv", "openssl"].into_iter().find(|name| program(name).is_none());
        if let Some(missing) = missing {
            let line = format!("not run: tests on Dovecot: {missing} not found, run: script/bootstrap --test");
            assert!(std::env::var_os("CI").is_none(), "{line}");
            #[allow(clippy::print_stdout)]
            {
                println!("{line}");
            }
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hearken-dovecot-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory for temporary files");
        let ports: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let port = |index: usize| ports.get(index).and_then(|it| it.local_addr().ok()).expect("a bound port").port();
        let (imap, imaps, lmtp) = (port(0), port(1), port(2));
        drop(ports);
        let mut server = Self { dir, owner: Owner::new(), child: None, imap, imaps, lmtp };
        server.write_certificates();
        server.write_configuration();
        server.launch();
        Some(server)
    }

    /// The certificate of the authority that has signed the server's, which is for `localhost` and
    /// 127.0.0.1.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A file that holds this secret, to refer to as `file:PATH`.
    pub fn secret(&self, name: &str, value: &str) -> PathBuf {
        let path = self.dir.join(name);
        std::fs::write(&path, value).expect("the directory can be written");
        path
    }

    /// Delivers a mail to the inbox, over LMTP.
    pub fn deliver(&self, mail: &str) {
        self.deliver_all([mail]);
    }

    /// Delivers mails to the inbox over one LMTP connection, in this order.
    pub fn deliver_all(&self, mails: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        hand_in(self.lmtp, "LHLO", MAILBOX.0, mails);
    }

    /// Puts a mail into a folder, as a mail program does with what it has sent.
    pub fn save(&self, folder: &str, mail: &str) {
        let mut child = self.doveadm_command(&["save", "-u", MAILBOX.0, "-m", folder]).stdin(Stdio::piped()).spawn();
        let child = child.as_mut().expect("doveadm runs");
        child.stdin.take().expect("a pipe").write_all(mail.as_bytes()).expect("doveadm reads");
        assert!(child.wait().expect("doveadm ends").success());
    }

    /// Runs `doveadm`, and returns what it prints.
    pub fn doveadm(&self, arguments: &[&str]) -> String {
        let output = self.doveadm_command(arguments).output().expect("doveadm runs");
        assert!(output.status.success(), "doveadm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A token for XOAUTH2 that the server takes: a JSON web token (RFC 7519) without end.
    pub fn token(&self) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        use hmac::{KeyInit, Mac};

        let part = |json: String| URL_SAFE_NO_PAD.encode(json);
        let head = part(r#"{"alg":"HS256","typ":"JWT"}"#.to_owned());
        let body = part(format!(r#"{{"sub":"{}","iat":1700000000,"exp":4000000000}}"#, MAILBOX.0));
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"key").expect("any length will do");
        mac.update(format!("{head}.{body}").as_bytes());
        format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// Stops the server; its mails stay.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // On its end signal the master takes its workers with it.
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).stderr(Stdio::null()).status();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts the server again, on the same ports.
    pub fn launch(&mut self) {
        self.own(&self.dir);
        let log = std::fs::File::create(self.dir.join("out")).expect("the directory can be written");
        // The kernel ends it when the test's thread does.
        let child = self
            .owner
            .command("dovecot", true)
            .args(["-F", "-c"])
            .arg(self.dir.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("dovecot runs"));
        let deadline = Instant::now() + PATIENCE;
        for port in [self.imap, self.imaps, self.lmtp] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
                assert!(ended.is_none() && Instant::now() < deadline, "Dovecot did not start: {}", self.log());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// What the server wrote into its log.
    pub fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        read("out") + &read("log")
    }

    fn doveadm_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.owner.command("doveadm", false);
        command.arg("-c").arg(self.dir.join("dovecot.conf")).args(arguments).stdin(Stdio::null());
        command
    }

    fn write_certificates(&self) {
        let dir = &self.dir;
        std::fs::write(dir.join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
            .expect("the directory can be written");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let openssl = |arguments: &[&str]| {
            let status = Command::new("openssl").args(arguments).current_dir(dir).stdin(Stdio::null()).output();
            assert!(status.expect("openssl runs").status.success(), "openssl {arguments:?}");
        };
        let authority = ["req", "-x509", "-days", "30", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test"];
        openssl(&[&authority[..], &key[..]].concat());
        let request = ["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"];
        openssl(&[&request[..], &key[..]].concat());
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            "ext",
            "-out",
            "server.pem",
        ]);
    }

    fn write_configuration(&self) {
        let Owner { user, group, .. } = &self.owner;
        let Self { imap, imaps, lmtp, .. } = self;
        let dir = self.dir.display();
        let configuration = format!(
            "base_dir = {dir}/run\nstate_dir = {dir}/state\nlog_path = {dir}/log\ninstance_name = {imap}\n\
             protocols = imap lmtp\nlisten = 127.0.0.1\n\
             default_login_user = {user}\ndefault_internal_user = {user}\ndefault_internal_group = {group}\n\
             first_valid_uid = 1\nfirst_valid_gid = 1\n\
             ssl = yes\nssl_cert = <{dir}/server.pem\nssl_key = <{dir}/server.key\n\
             disable_plaintext_auth = no\nauth_mechanisms = plain login xoauth2\nauth_failure_delay = 0\nauth_username_format = %n\n\
             mail_location = maildir:{dir}/mail/%u\nmail_fsync = never\nmail_max_userip_connections = 100\n\
             passdb {{\n driver = passwd-file\n args = scheme=PLAIN {dir}/users\n}}\n\
             passdb {{\n driver = oauth2\n mechanisms = xoauth2\n args = {dir}/oauth2.conf\n}}\n\
             userdb {{\n driver = static\n args = uid={user} gid={group} home={dir}/home/%u\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n port = {imap}\n }}\n\
             inet_listener imaps {{\n port = {imaps}\n ssl = yes\n }}\n}}\n\
             service lmtp {{\n chroot =\n inet_listener lmtp {{\n port = {lmtp}\n }}\n}}\n\
             service anvil {{\n chroot =\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}\n}}\nservice stats {{\n chroot =\n}}\n\
             namespace inbox {{\n inbox = yes\n separator = /\n \
             mailbox Sent {{\n auto = create\n }}\n}}\n"
        );
        let oauth2 = format!(
            "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={dir}/keys/\nusername_attribute = sub\n"
        );
        std::fs::create_dir_all(self.dir.join("keys/default/HS256")).expect("the directory can be written");
        for (name, text) in [
            ("dovecot.conf", configuration),
            ("oauth2.conf", oauth2),
            ("keys/default/HS256/default", "a2V5".to_owned()),
            ("users", format!("{}:{}\n", MAILBOX.0, MAILBOX.1)),
        ] {
            std::fs::write(self.dir.join(name), text).expect("the directory can be written");
        }
    }

    /// Gives a directory to the user who runs the server.
    fn own(&self, path: &Path) {
        let Some((uid, gid)) = self.owner.ids else { return };
        let _ = std::os::unix::fs::lchown(path, Some(uid), Some(gid));
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                self.own(&path);
            } else {
                let _ = std::os::unix::fs::lchown(path, Some(uid), Some(gid));
            }
        }
    }
}

impl Owner {
    fn new() -> Self {
        let own = |argument: &str| {
            let output = Command::new("id").arg(argument).output().expect("id runs");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        match own("-u").as_str() {
            // Debian's ids of nobody and nogroup.
            "0" => Self { user: "nobody".to_owned(), group: "nogroup".to_owned(), ids: Some((65534, 65534)) },
            _ => Self { user: own("-un"), group: own("-gn"), ids: None },
        }
    }

    /// A command that runs as this user, and ends with the one who started it if it is to.
    fn command(&self, name: &str, ends_with_us: bool) -> Command {
        let mut command = Command::new("setpriv");
        if let Some((uid, gid)) = self.ids {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
        }
        if ends_with_us {
            command.args(["--pdeathsig", "TERM"]);
        }
        command.arg(program(name).unwrap_or_else(|| name.into()));
        command
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Where a program is; servers are not always on the path.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into(), "/sbin".into()]);
    places.map(|place| place.join(name)).find(|path| path.is_file())
}
