//! A real Postfix on loopback that delivers into a [`Dovecot`], for as long as a test takes.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::dovecot::{Dovecot, MAILBOX};
use super::smtp::hand_in;

const PATIENCE: Duration = Duration::from_secs(30);
const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// A running Postfix with its own configuration and queue; stopped, with all its workers, when it is
/// dropped or when the test's process ends.
pub struct Postfix {
    dir: PathBuf,
    child: Child,
    port: u16,
}

impl Postfix {
    /// Starts one before this Dovecot; says why not, and returns `None`, where that cannot be. On CI
    /// (environment variable `CI` set) that is a failure.
    pub fn start(behind: &Dovecot) -> Option<Self> {
        let id = Command::new("id").arg("-u").output().expect("id runs");
        let missing = match () {
            () if !Path::new(MASTER).is_file() => Some("not found, run: script/bootstrap --test"),
            () if id.stdout.trim_ascii() != b"0" => Some("only root can start one"),
            () => None,
        };
        if let Some(missing) = missing {
            let line = format!("not run: tests on Postfix: {missing}");
            assert!(std::env::var_os("CI").is_none(), "{line}");
            #[allow(clippy::print_stdout)]
            {
                println!("{line}");
            }
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("a bound port").port();
        drop(listener);
        let dir = std::env::temp_dir().join(format!("hearken-postfix-{}-{port}", std::process::id()));
        let configuration = dir.join("etc");
        for name in ["etc", "queue", "data"] {
            std::fs::create_dir_all(dir.join(name)).expect("a directory for temporary files");
        }
        let owned = Command::new("chown").arg("postfix").arg(dir.join("data")).status();
        assert!(owned.expect("chown runs").success());
        std::fs::write(configuration.join("main.cf"), main(&dir, behind.lmtp)).expect("the directory can be written");
        std::fs::write(configuration.join("master.cf"), master(port)).expect("the directory can be written");
        // Makes the queue.
        let check = Command::new("postfix").arg("-c").arg(&configuration).arg("check").output();
        assert!(check.expect("postfix runs").status.success());
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", MASTER, "-d", "-c"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let server = Self { dir, child: child.expect("postfix runs"), port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Postfix did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// Sends a mail to the mailbox, over SMTP; it arrives in a moment.
    pub fn send(&self, mail: &str) {
        hand_in(self.port, "EHLO", &format!("{}@acme.example", MAILBOX.0), [mail]);
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // On its end signal the master takes its workers with it.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).stderr(Stdio::null()).status();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn main(dir: &Path, lmtp: u16) -> String {
    let dir = dir.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {dir}/queue\ndata_directory = {dir}/data\n\
         maillog_file = {dir}/log\nmaillog_file_prefixes = {dir}\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mail.acme.example\n\
         mydestination = acme.example\nmynetworks = 127.0.0.0/8\nrelayhost =\ndefault_transport = error:loopback only\n\
         alias_maps =\nalias_database =\nlocal_recipient_maps =\nlocal_transport = lmtp:inet:127.0.0.1:{lmtp}\n\
         smtpd_recipient_restrictions = permit_mynetworks, reject\n"
    )
}

fn master(port: u16) -> String {
    let mut services = format!("127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
    for (name, program) in [
        ("rewrite", "trivial-rewrite"),
        ("bounce", "bounce"),
        ("defer", "bounce"),
        ("trace", "bounce"),
        ("lmtp", "lmtp"),
        ("error", "error"),
        ("retry", "error"),
        ("proxymap", "proxymap"),
        ("anvil", "anvil"),
    ] {
        services.push_str(&format!("{name} unix - - n - - {program}\n"));
    }
    // Of these, the sockets are not private.
    services + "cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\npickup unix n - n 60 1 pickup\n"
}
