//! `hearken query`: what an analyst is told of a query before it is relied on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Two brands with examples, one of them wrong.
const BRANDS: &str = r#"
[[brand]]
name = "Acme"
query = 'acme OR "acme corp"'
exclude = ["acme publishing"]
must_match = ["I love Acme"]
must_not_match = ["Acme Publishing has a new book", "Acme Corp again"]

[[brand]]
name = "Globex"
names = ["Globex"]
must_match = ["globex!"]

[[brand]]
name = "VW"
names = ["VW"]
"#;

/// A directory with a configuration.
struct Desk(TempDir);

struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new(config: &str) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("hearken.toml", config);
        desk
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(support::program());
        command.current_dir(self.0.path()).env_remove("HEARKEN_CONFIG").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end, with this on standard input.
    fn run(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
        let mut child = self.command(arguments).spawn().unwrap();
        // What is not read cannot be written.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        let output = child.wait_with_output().unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The JSON lines that a command answers.
    fn lines(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Vec<Value> {
        let Outcome { code, out, err } = self.run(arguments, input);
        assert_eq!(code, 0, "{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn explain(query: &str, input: impl AsRef<[u8]>) -> Vec<Value> {
    Desk::new("").lines(&["query", "explain", "--json", query], input)
}

#[test]
fn a_query_is_explained_line_by_line() {
    let answer = explain("acme OR globex", "My Straße: Acme's\n\nnothing\n");
    let clause = |clause: &str, start: usize, end: usize, spans: Value| {
        let matched = spans != json!([]);
        json!({"clause": clause, "span": {"start": start, "end": end}, "matched": matched, "spans": spans})
    };
    let found = json!([{"field": "text", "start": 11, "end": 15}]);
    assert_eq!(
        answer,
        [
            json!({"line": 1, "matched": true, "clauses": [clause("acme", 0, 4, found), clause("globex", 8, 14, json!([]))],
                   "why_not": []}),
            json!({"line": 3, "matched": false,
                   "clauses": [clause("acme", 0, 4, json!([])), clause("globex", 8, 14, json!([]))],
                   "why_not": ["none of acme, globex was found"]}),
        ]
    );
}

#[test]
fn a_line_may_be_a_message() {
    let input = r#"{"text": "hi", "source": "care", "author": {"handle": "x"}, "mood": 7}
        {"title": "Acme", "text": "hi", "id": 12, "mentioned": ["bob", "Acme"]}
        acme {not json}
    "#;
    let answer = explain("source:care OR @acme", input);
    let matched: Vec<&Value> = answer.iter().map(|line| &line["matched"]).collect();
    assert_eq!(matched, [true, true, false]);
    assert_eq!(answer[1]["clauses"][1]["spans"], json!([{"field": "mentioned", "index": 1, "start": 0, "end": 4}]));
}

#[test]
fn without_json_it_is_readable_and_a_text_cannot_steer_the_terminal() {
    let input = "I love \x1b[31mAcme\x07 and Acme\nAcme Publishing\n{\"title\": \"Kettles\", \"text\": \"none\"}\n";
    let Outcome { code, out, err } = Desk::new("").run(&["query", "explain", "acme -publishing"], input);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out);
}

#[test]
fn a_brand_is_named_instead_of_a_query_and_texts_come_from_a_file() {
    let desk = Desk::new(BRANDS);
    desk.write("texts.txt", "Acme\r\nAcme Publishing\r\n");
    let matched = |arguments: &[&str], input: &str| -> Vec<bool> {
        desk.lines(arguments, input).iter().map(|line| line["matched"].as_bool().unwrap()).collect()
    };
    assert_eq!(matched(&["query", "explain", "--brand", "Acme", "texts.txt", "--json"], ""), [true, false]);
    assert_eq!(matched(&["query", "explain", "--brand", "Acme", "-", "--json"], "acme"), [true]);
    assert_eq!(matched(&["query", "explain", "publishing", "texts.txt", "--json"], ""), [false, true]);
    let Outcome { code, err, .. } = desk.run(&["query", "explain", "--brand", "Acmee"], "acme");
    assert_eq!(code, 64);
    assert!(err.contains("there is no brand `Acmee`: did you mean `Acme`?"), "{err}");
    assert_eq!(desk.run(&["query", "explain", "--brand", "Acme", "acme", "texts.txt"], "").code, 64);
    assert_eq!(desk.run(&["query", "explain"], "").code, 64);
}

#[test]
fn what_is_not_utf_8_is_read_all_the_same() {
    let answer = explain("acme", b"caf\xe9 Acme\n");
    assert_eq!(answer[0]["clauses"][0]["spans"], json!([{"field": "text", "start": 5, "end": 9}]));
}

#[test]
fn answers_come_as_the_lines_do() {
    let mut child = Desk::new("").command(&["query", "explain", "--json", "acme"]).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answers = BufReader::new(output).lines();
    for text in ["acme", "globex"] {
        writeln!(input, "{text}").unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["matched"], text == "acme");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_with_the_input_is_told_with_its_line_and_without_its_text() {
    let desk = Desk::new("");
    for (input, line, told) in [
        (String::new(), "", "there are no texts in standard input"),
        ("\n  \n".to_owned(), "", "there are no texts in standard input"),
        ("acme\n{\"text\": \"private\"".to_owned(), "line 2", "no JSON"),
        ("{\"said\": \"private\"}".to_owned(), "line 1", "neither `text` nor `title`"),
        ("{\"text\": \"a\", \"published_at\": \"private\"}".to_owned(), "line 1", "a time of RFC 3339"),
        (format!("acme\nacme\n{}\nacme", "private ".repeat(140_000)), "line 3", "longer than 1048576 bytes"),
    ] {
        for arguments in [&["query", "explain", "acme", "--json"][..], &["query", "lint", "acme", "-"]] {
            let Outcome { code, out, err } = desk.run(arguments, &input);
            assert_eq!(code, 65, "{err}");
            assert!(err.contains(line) && err.contains(told) && !err.contains("private"), "{err}");
            let before =
                if arguments[1] == "explain" { line.trim_start_matches("line ").parse().unwrap_or(1) - 1 } else { 0 };
            assert_eq!(out.lines().count(), before, "{out}");
        }
    }
    for file in ["missing.txt", "."] {
        let Outcome { code, err, .. } = desk.run(&["query", "explain", "acme", file], "");
        assert_eq!(code, 65);
        assert!(err.contains("cannot read") && err.contains(file), "{err}");
    }
}

#[test]
fn a_wrong_query_is_told_with_its_place_and_what_would_be_right() {
    let desk = Desk::new("");
    for arguments in [["query", "explain"], ["query", "lint"]] {
        let Outcome { code, out, err } = desk.run(&[arguments[0], arguments[1], "token acme or\nglobex"], "acme");
        assert_eq!((code, out.as_str()), (65, ""));
        insta::allow_duplicates! { insta::assert_snapshot!("a_wrong_query", err) };
    }
}

#[test]
fn examples_are_tried_and_the_wrong_ones_told_as_check_tells_them() {
    let desk = Desk::new(BRANDS);
    let Outcome { code, out, err } = desk.run(&["query", "test"], "");
    assert_eq!((code, err.as_str()), (65, "hearken: 1 of 4 examples are wrong\n"));
    insta::assert_snapshot!(out);
    let check = desk.run(&["check", "--offline"], "");
    assert_eq!(check.code, 64);
    let told = check.err.strip_prefix("hearken: ").unwrap().trim();
    assert!(out.contains(told), "{told}");

    let Outcome { code, out, .. } = desk.run(&["query", "test", "--json"], "");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let wrong = json!([{"text": "Acme Corp again", "must_match": false, "why": "it finds acme, \"acme corp\""}]);
    assert_eq!((code, &answer[0]), (65, &json!({"brand": "Acme", "examples": 3, "wrong": wrong})));
    assert_eq!(answer[2], json!({"brand": "VW", "examples": 0, "wrong": []}));

    let right = Desk::new(&BRANDS.replace(", \"Acme Corp again\"", ""));
    assert_eq!(right.run(&["query", "test"], "").code, 0);
}

#[test]
fn what_is_odd_about_the_brands_is_told_and_check_notes_it_without_failing() {
    let desk = Desk::new(&BRANDS.replace(", \"Acme Corp again\"", ""));
    let Outcome { code, out, err } = desk.run(&["query", "lint"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out);
    let check = desk.run(&["check", "--offline"], "");
    assert_eq!(check.code, 0, "{}", check.err);
    insta::assert_snapshot!("notes_of_check", check.out);
    let notes = desk.run(&["check", "--offline", "--json"], "").out;
    let notes: Vec<Value> = notes.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(notes.iter().filter(|line| line["note"] == true && line["ok"] == true).count(), 2);

    let found: Value = serde_json::from_str(&desk.run(&["query", "lint", "--json"], "").out).unwrap();
    let brands: Vec<&Value> = found.as_array().unwrap().iter().map(|finding| &finding["brand"]).collect();
    assert_eq!(brands, ["Acme", "Globex", "VW"]);
    let one: Value =
        serde_json::from_str(&desk.run(&["query", "lint", "--json", "--brand", "Globex"], "").out).unwrap();
    assert_eq!((one.as_array().unwrap().len(), &one[0]["severity"]), (1, &"hint".into()));
    assert!(desk.run(&["query", "lint", "globex lamp"], "").out.contains("nothing odd"));
}

#[test]
fn a_query_that_never_matches_is_an_error_and_sources_are_those_of_the_configuration() {
    let source = "[source.tweets]\nchannel = \"file\"\npath = \"t.jsonl\"\nset.channel = \"twitter\"\nfields.id = \"id\"\nfields.text = \"t\"\n";
    let desk = Desk::new(&format!("{BRANDS}\n{source}"));
    let Outcome { code, out, err } = desk.run(&["query", "lint", "--json", "acme -acme"], "");
    assert_eq!((code, err.as_str()), (65, "hearken: 1 findings are errors\n"));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&found[0]["severity"], &found[0]["span"]), (&"error".into(), &json!({"start": 0, "end": 10})));

    assert!(desk.run(&["query", "lint", "acme source:tweets channel:twitter"], "").out.contains("nothing odd"));
    let Outcome { code, out, .. } = desk.run(&["query", "lint", "acme source:tweet channel:telex"], "");
    assert_eq!(code, 0);
    assert!(
        out.contains("no source of the configuration is called `tweet`") && out.contains("there are `tweets`"),
        "{out}"
    );
    assert!(out.contains("no channel is called `telex`"), "{out}");
    // Without a configuration, nobody knows.
    std::fs::remove_file(desk.0.path().join("hearken.toml")).unwrap();
    assert!(desk.run(&["query", "lint", "acme source:tweet"], "").out.contains("nothing odd"));
    assert_eq!(desk.run(&["query", "lint"], "").code, 64);
}

/// The texts of the airline tweets.
fn tweets() -> Option<(PathBuf, Vec<String>)> {
    let path = support::real_data()?.join("real/airline_tweets.jsonl");
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    let texts = std::fs::read_to_string(&path).unwrap().lines().map(text).collect();
    Some((path, texts))
}

fn words(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

#[test]
fn what_is_cut_out_of_real_tweets_is_the_clause() {
    let Some((path, texts)) = tweets() else { return };
    let query = "\"customer service\" OR delayed OR @united";
    let answer = Desk::new("").lines(&["query", "explain", "--json", query, path.to_str().unwrap()], "");
    assert_eq!(answer.len(), texts.len());
    let (mut cut, mut delayed) = (0, 0);
    for (number, (line, text)) in answer.iter().zip(&texts).enumerate() {
        assert_eq!(line["line"], number + 1);
        let letters: Vec<char> = text.chars().collect();
        let mut is_found = false;
        for clause in line["clauses"].as_array().unwrap() {
            for span in clause["spans"].as_array().unwrap().iter().filter(|span| span["field"] == "text") {
                let place = span["start"].as_u64().unwrap() as usize..span["end"].as_u64().unwrap() as usize;
                let found: String = letters[place].iter().collect();
                assert_eq!(words(&found), words(clause["clause"].as_str().unwrap()), "{text}");
                (cut, is_found) = (cut + 1, true);
            }
        }
        assert_eq!(line["matched"], is_found, "{text}");
        delayed += usize::from(format!(" {} ", words(text)).contains(" delayed "));
    }
    let said: usize = answer.iter().filter(|line| line["clauses"][1]["matched"] == true).count();
    assert_eq!(said, delayed);
    assert!(cut > 2_000, "{cut}");
}

#[test]
fn an_everyday_name_is_measured_on_real_tweets() {
    let Some((path, texts)) = tweets() else { return };
    let desk = Desk::new("");
    let lint = |query: &str| -> Vec<Value> {
        let found = desk.run(&["query", "lint", "--json", query, path.to_str().unwrap()], "");
        assert_eq!(found.code, 0, "{}", found.err);
        serde_json::from_str(&found.out).unwrap()
    };
    // "luggage" is an everyday word, and it gets lost; a query made of the suggestion can be read.
    let found = lint("luggage");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0]["reason"].as_str().unwrap().contains("everyday word"), "{found:?}");
    let suggestion = found[0]["suggestion"].as_str().unwrap();
    assert!(suggestion.contains("lost"), "{suggestion}");
    let suggested = suggestion.split('`').nth(1).unwrap();
    assert!(hearken::query::parser::parse(suggested).is_ok(), "{suggested}");
    // "JetBlue" is none, however often it is said.
    assert_eq!(lint("jetblue"), Vec::<Value>::new());
    let share = |query: &str| lint(query)[0]["reason"].as_str().unwrap().to_owned();
    let airlines = "united OR jetblue OR usairways OR southwestair OR americanair OR virginamerica";
    assert!(share(airlines).contains(&format!("of the {} given texts: nearly everything", texts.len())));
    assert!(share("\"zeppelin airways\"").contains("none of the"));
}

#[test]
fn the_examples_of_the_guide_are_real() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/queries.md")).unwrap();
    let section = page.split("\n## Trying a query\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let Some((tweets, _)) = tweets() else { return };
    let desk = Desk::new("");
    desk.write("airline_tweets.jsonl", std::fs::read(tweets).unwrap());
    let program = support::program();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for block in section.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        for example in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, shown) = example.split_once('\n').unwrap_or((example, ""));
            if let Some(name) = command.strip_prefix("cat ") {
                desk.write(name, shown);
                continue;
            }
            let mut shell = Command::new("sh");
            shell.current_dir(desk.0.path()).env("PATH", &path).env_remove("HEARKEN_CONFIG").stdin(Stdio::null());
            let output = shell.args(["-c", &format!("{command} 2>&1")]).output().unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            assert_eq!(told.trim_end(), shown.trim_end(), "{command}");
            run += 1;
        }
    }
    assert!(run > 3, "the examples were not found");
}
