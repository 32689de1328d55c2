//! Three channels at once: real mails in a Dovecot, a conversation in a Synapse, posts by webhook; meanwhile
//! the daemon is killed ten times with `kill -9`. Each message is stored once, threads are whole, and every
//! figure is that of an installation which was never disturbed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use hearken_connectors::testing::{Dovecot, MAILBOX, MatrixUser, Synapse};
use serde_json::json;
use support::site::{Daemon, Site};
use support::{free_port, libchdb, real_data, webhook};
use tokio::time::sleep;

const KILLS: u64 = 10;
/// How long a daemon lives before it is killed; it needs about one second to listen.
const LIFE: Duration = Duration::from_millis(4_500);
/// How long the last one may take to hear and store the rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// Every so many of the real mails are answered by the brand, and the answer by its writer.
const ANSWERED: usize = 6;
/// Questions in the room; each gets answers in its thread.
const QUESTIONS: usize = 12;
/// Deliveries by webhook, each a thread of three, one each `PAUSE`.
const DELIVERIES: usize = 60;
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_stored_once_and_threads_are_whole() {
    let (Some(data), Some(())) = (real_data(), libchdb()) else { return };
    let (Some(dovecot), Some(synapse)) = (Dovecot::start(), Synapse::shared().await) else { return };
    let Some(python) = webhook::python() else { return };
    let (room, mails) = (Room::open(synapse).await, data.join("real/mail"));
    let sources = sources(&dovecot, synapse, &room);

    let port = free_port();
    let site = Site::on_port(port, "", |_| sources.clone());
    let shop = |port: u16, pause| webhook::post(&python, port, DELIVERIES, 3, pause);
    let (mailed, said, posted, _daemon) =
        tokio::join!(mail(&dovecot, &mails), room.talk(), shop(port, PAUSE), kill_again_and_again(&site));
    let expected = [("imap", mailed), ("matrix", said), ("shop", posted)];
    await_mentions(&site, &expected).await;

    let twice = "SELECT count() FROM (SELECT count() AS times FROM mentions GROUP BY message_id) WHERE times > 1";
    assert_eq!(site.sql(twice).trim(), "0");
    for (channel, threads) in [("imap", ANSWERED), ("matrix", QUESTIONS), ("shop", DELIVERIES)] {
        let whole = format!(
            "SELECT count() FROM (SELECT conversation FROM mentions WHERE channel = '{channel}'
             GROUP BY conversation HAVING count() = 3)"
        );
        assert_eq!(site.sql(&whole).trim(), threads.to_string(), "threads of three on {channel}");
    }
    let outbound = "SELECT channel, count() FROM mentions WHERE direction = 'outbound' GROUP BY channel";
    assert_eq!(site.sql(outbound).trim(), format!("imap\t{ANSWERED}"));

    let port = free_port();
    let quiet = Site::on_port(port, "", |_| sources);
    let _quiet_daemon = quiet.start();
    shop(port, Duration::ZERO).await;
    await_mentions(&quiet, &expected).await;
    let (figures, undisturbed) = (site.figures(), quiet.figures());
    for figure in ["totals", "mentions", "dead letters", "gaps"] {
        assert_eq!(figures[figure], undisturbed[figure], "{figure}");
    }
}

fn sources(dovecot: &Dovecot, synapse: &Synapse, room: &Room) -> String {
    let password = dovecot.secret("password", MAILBOX.1);
    let token = dovecot.secret("token", &room.listener.token);
    format!(
        "[[brand]]\nname = \"Acme\"\nquery = \"source:care OR source:room OR source:shop\"\n\
         [source.care]\nchannel = \"imap\"\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\nuser = \"{}\"\n\
         password = \"file:{}\"\nsent = [\"Sent\"]\npoll = \"1s\"\nbackfill = 1000\n\
         [source.room]\nchannel = \"matrix\"\nserver = \"{}\"\nrooms = [\"{}\"]\ntoken = \"file:{}\"\nbackfill = 100\n{}",
        dovecot.imap,
        MAILBOX.0,
        password.display(),
        synapse.url,
        room.id,
        token.display(),
        webhook::source("shop", &dovecot.secret("key", webhook::SECRET)),
    )
}

/// The last one is left alive.
async fn kill_again_and_again(site: &Site) -> Daemon {
    for kill in 0..KILLS {
        let daemon = site.start();
        // Now while it starts, now in the midst of its work.
        sleep(LIFE.mul_f64((1 + kill % 4) as f64 / 4.0)).await;
        daemon.kill();
    }
    site.start()
}

/// Waits until this many mentions are stored, and sees that they do not become more.
async fn await_mentions(site: &Site, expected: &[(&str, usize)]) {
    let expected: String = expected.iter().map(|(channel, count)| format!("{channel}\t{count}\n")).collect();
    let stored = || site.sql("SELECT channel, count() FROM mentions GROUP BY channel ORDER BY channel");
    let deadline = Instant::now() + PATIENCE;
    while stored() != expected {
        assert!(Instant::now() < deadline, "stored:\n{}expected:\n{expected}", stored());
        sleep(Duration::from_millis(300)).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stored(), expected);
}

/// Delivers the real mails, a few at a time; the brand answers some, and their writers answer back. Returns how many
/// mails there are then.
async fn mail(dovecot: &Dovecot, folder: &Path) -> usize {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mails: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut questions = mails.iter().filter_map(|mail| message_id(mail));
    for some in mails.chunks(mails.len().div_ceil(ANSWERED)) {
        for few in some.chunks(4) {
            dovecot.deliver_all(few);
            sleep(Duration::from_millis(900)).await;
        }
        // Of a mail that has come, or is still to come.
        let question = questions.next().expect("as many mails with a Message-ID as are answered");
        let (answer, thanks) = (format!("<re-{}", &question[1..]), format!("<re-re-{}", &question[1..]));
        dovecot.save("Sent", &reply("care@acme.example", &answer, &[&question]));
        sleep(Duration::from_millis(400)).await;
        dovecot.deliver(&reply("ann@example.org", &thanks, &[&question, &answer]));
    }
    mails.len() + 2 * ANSWERED
}

fn message_id(mail: &[u8]) -> Option<String> {
    let mail = String::from_utf8_lossy(mail);
    let line = mail.lines().take_while(|line| !line.is_empty()).find(|line| line.starts_with("Message-ID: <"))?;
    Some(line.split_once(' ')?.1.trim().to_owned())
}

fn reply(from: &str, id: &str, thread: &[&str]) -> String {
    format!(
        "From: {from}\nSubject: Re: yours\nDate: Mon, 2 Mar 2026 10:00:00 +0000\nMessage-ID: {id}\n\
         In-Reply-To: {}\nReferences: {}\n\nThank you for {id}.\n",
        thread.last().unwrap(),
        thread.join(" "),
    )
}

/// A room, somebody who listens, and two who talk.
struct Room {
    id: String,
    listener: MatrixUser,
    ann: MatrixUser,
    bob: MatrixUser,
}

impl Room {
    async fn open(synapse: &Synapse) -> Self {
        let (listener, ann, bob) =
            (synapse.user("listener").await, synapse.user("ann").await, synapse.user("bob").await);
        let id = ann.create_public_room("kettles").await;
        bob.join(&id).await;
        listener.join(&id).await;
        Self { id, listener, ann, bob }
    }

    /// Questions with two answers each in their thread; answers are edited, liked, and some taken back and given anew.
    /// Returns how many messages stand in the end.
    async fn talk(&self) -> usize {
        for number in 0..QUESTIONS {
            let question = self.ann.say(&self.id, &format!("Question {number}: is my kettle broken? 😡")).await;
            let wrong = self.answer(&question, "No idea.").await;
            self.bob.redact(&self.id, &wrong).await;
            let right = self.answer(&question, "Did you plug it in?").await;
            sleep(Duration::from_millis(700)).await;
            self.bob.edit(&self.id, &right, &format!("Did you plug it in, {number}?")).await;
            let thanks = self.answer(&question, "It works, great!").await;
            self.ann.react(&self.id, &thanks, "👍").await;
            sleep(Duration::from_millis(700)).await;
        }
        3 * QUESTIONS
    }

    async fn answer(&self, question: &str, words: &str) -> String {
        let thread = json!({ "rel_type": "m.thread", "event_id": question });
        let content = json!({ "msgtype": "m.text", "body": words, "m.relates_to": thread });
        self.bob.send(&self.id, "m.room.message", content).await
    }
}
