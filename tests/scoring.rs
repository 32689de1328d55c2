//! The first tier from outside: what it says of texts, that it says the same everywhere, and that
//! nothing in a text or a model file makes it fall over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hearken::score::eval::{EvalSource, evaluate};
use hearken::score::train::{TrainOptions, adapt, train};
use hearken::score::{Label, Labelled, MAX_CHARS, Model, Scorer, Sentiment, TextScore};
use hearken_connectors::Message;
use jiff::Timestamp;
use proptest::prelude::*;

/// Texts in twelve languages whose polarity nobody disputes: language, negative, positive.
const PLAIN: [(&str, &str, &str); 12] = [
    ("en", "The worst service I have ever had, never again!", "Thank you so much, this is wonderful and I love it"),
    ("tr", "Çok kötü bir ürün, hiç beğenmedim, rezalet", "Harika bir film, çok güzel, bayıldım"),
    ("fa", "خیلی بد بود، افتضاح و بی‌کیفیت، اصلا راضی نیستم", "عالی بود، خیلی راضی هستم، ممنون"),
    ("uk", "Жахливий сервіс, дуже погано, не рекомендую", "Чудовий магазин, дуже задоволений, рекомендую"),
    ("pl", "Fatalna obsługa, nie polecam tego hotelu", "Wspaniały hotel, bardzo polecam, super obsługa"),
    ("zh", "质量太差了，很失望，垃圾", "非常好，很喜欢，质量不错，推荐"),
    ("ar", "خدمة سيئة جدا، أسوأ تجربة", "شكرا جزيلا، خدمة رائعة وجميلة"),
    ("es", "Qué asco, es horrible, el peor servicio", "Me encanta, muchas gracias, qué feliz estoy"),
    ("de", "Das ist so schlecht, ich hasse es, furchtbar", "Danke, das ist wunderbar, ich liebe es"),
    ("fr", "C'est nul, je déteste, quelle honte", "Merci beaucoup, c'est génial, j'adore"),
    ("ru", "Ужасно, отвратительно, ненавижу это", "Спасибо, очень классно, люблю вас"),
    ("hi", "बहुत बुरा, बेकार और शर्मनाक", "बहुत अच्छा, शानदार, धन्यवाद"),
];

/// Texts that are hard to read rather than hard to judge.
const ODD: [&str; 22] = [
    "",
    "   \n\t ",
    "https://t.co/abc123",
    "@someone @another https://example.org/a?b=c",
    "12345 67.8",
    "!!! ... ???",
    "😀😍",
    "😡🤬👎",
    ":-(",
    "THIS IS THE WORST AIRLINE EVER",
    "this is the worst airline ever",
    "sooooooo happyyyyyy!!!!!!",
    "love the crew pero el vuelo fue horrible",
    "کتاب‌های خیلی خوبی دارند",
    "İYİ",
    "iyi",
    "\u{202b}مرحبا\u{202c} شكرا",
    "h\u{200b}a\u{200b}t\u{200b}e this",
    "great\u{fffd}\u{fffd} thanks",
    "ｇｒｅａｔ ｓｅｒｖｉｃｅ",
    "cafe\u{301} tre\u{300}s bon",
    "𝗴𝗿𝗲𝗮𝘁 𝘀𝗲𝗿𝘃𝗶𝗰𝗲",
];

fn scorer() -> Scorer {
    Scorer::built_in().unwrap()
}

fn sentiment(text: &str) -> Sentiment {
    scorer().score_text(text).sentiment
}

#[test]
fn scores_are_the_same_on_every_machine() {
    let scorer = scorer();
    let mut golden = String::new();
    let plain = PLAIN.iter().flat_map(|(_, negative, positive)| [*negative, *positive]);
    for text in plain.chain(ODD) {
        let TextScore { language, sentiment, .. } = scorer.score_text(text);
        // The shortest decimal form of a float names its exact bits.
        writeln!(
            golden,
            "{text:?}\n    {} {} {} {} {}",
            language.tag,
            language.confidence,
            sentiment.label.as_str(),
            sentiment.score,
            sentiment.confidence
        )
        .unwrap();
    }
    insta::assert_snapshot!(golden);
}

#[test]
fn plain_words_are_understood_in_twelve_languages() {
    let scorer = scorer();
    for (tag, negative, positive) in PLAIN {
        let TextScore { language, sentiment: low, .. } = scorer.score_text(negative);
        assert_eq!(language.tag, tag, "{negative}");
        assert!(low.score < -0.1, "{negative}: {low:?}");
        let TextScore { language, sentiment: high, .. } = scorer.score_text(positive);
        assert_eq!(language.tag, tag, "{positive}");
        assert!(high.score > 0.1, "{positive}: {high:?}");
    }
}

#[test]
fn look_alike_languages_are_told_apart() {
    for (tag, text) in [
        ("tr", "bugün hava çok sıcak ve trafik yine kilit"),
        ("fa", "امروز هوا خیلی گرم است و می‌خواهم به خانه بروم"),
        ("ar", "اليوم الطقس حار جدا وأريد العودة إلى البيت"),
        ("uk", "сьогодні дуже спекотно і я хочу додому"),
        ("ru", "сегодня очень жарко и я хочу домой"),
        ("pl", "dzisiaj jest bardzo gorąco i chcę wracać do domu"),
        ("zh", "今天天气很热，我想回家"),
        ("ja", "今日はとても暑いので家に帰りたい"),
        ("ko", "오늘은 너무 더워서 집에 가고 싶어요"),
        ("th", "วันนี้อากาศร้อนมาก"),
        ("el", "σήμερα κάνει πολλή ζέστη"),
        ("he", "היום חם מאוד ואני רוצה הביתה"),
        ("ka", "დღეს ძალიან ცხელა"),
        ("hy", "այսօր շատ շոգ է"),
        ("am", "ዛሬ በጣም ሞቃት ነው"),
        ("nl", "het is vandaag heel warm en ik wil naar huis"),
        ("sv", "det är väldigt varmt idag och jag vill åka hem"),
        ("vi", "hôm nay trời rất nóng và tôi muốn về nhà"),
        ("und", ""),
        ("und", "😀 123 https://example.org"),
    ] {
        assert_eq!(scorer().score_text(text).language.tag, tag, "{text}");
    }
}

#[test]
fn nothing_said_is_unsure_and_no_label_is_likelier() {
    for text in ["", "  \n", "https://t.co/abc", "@someone", "12:30", "..."] {
        let said = sentiment(text);
        assert_eq!((said.label, said.score, said.confidence), (Label::Unsure, 0.0, 1.0 / 3.0), "{text:?}");
    }
}

#[test]
fn a_language_that_was_not_trained_gets_the_lexicon_and_little_confidence() {
    let TextScore { language, sentiment: said, .. } = scorer().score_text("სერვისი ძალიან ცუდი იყო");
    assert_eq!(language.tag, "ka");
    assert!(said.confidence < 0.6, "{said:?}");
    let happy = sentiment("სერვისი 😍😍😍");
    assert!(happy.score > said.score);
}

#[test]
fn emoji_speak_alone() {
    assert!(sentiment("😀😍").score > 0.3);
    assert!(sentiment("😡🤬👎").score < -0.3);
}

#[test]
fn ways_of_writing_change_nothing() {
    for (one, other) in [
        ("İYİ", "iyi"),
        ("KIRICI bir film", "kırıcı bir film"),
        ("h\u{200b}ate this", "hate this"),
        ("ｇｒｅａｔ", "great"),
        ("𝗴𝗿𝗲𝗮𝘁", "great"),
        ("tre\u{300}s bien", "très bien"),
        ("❤\u{fe0f}", "❤"),
        ("👍🏽", "👍"),
        ("می‌خواهم", "می خواهم"),
        ("see https://a.example/x", "see http://b.example/y?z"),
        ("thanks @alice", "thanks @bob"),
        ("so goooood", "so gooooooood"),
        ("\u{202b}شكرا\u{202c}", "شكرا"),
    ] {
        // Letters of one language make it more certain, which is as it should be.
        let of = |text: &str| {
            let TextScore { language, sentiment, .. } = scorer().score_text(text);
            (language.tag, sentiment)
        };
        assert_eq!(of(one), of(other), "{one:?} {other:?}");
    }
}

#[test]
fn a_very_long_text_is_read_at_its_beginning() {
    let scorer = scorer();
    let long = "terrible service and rude staff ".repeat(32_768);
    assert!(long.len() >= 1 << 20);
    assert_eq!(scorer.score_text(&long), scorer.score_text(&long[..MAX_CHARS]));
    let one_word = "a".repeat(1 << 20);
    assert!(scorer.score_text(&one_word).sentiment.confidence.is_finite());
    let link = format!("https://{}", "x".repeat(1 << 20));
    assert_eq!(scorer.score_text(&link).sentiment.label, Label::Unsure);
}

#[test]
fn a_message_is_its_title_and_its_text_and_the_hint_only_helps() {
    let scorer = scorer();
    let mut message = Message::new("feed", "s", "1", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    message.title = "Terrible delays".to_owned();
    message.text = "again at the airport".to_owned();
    let score = scorer.score(&message);
    assert_eq!(score.language, "en");
    assert!(score.sentiment.score < 0.0);
    assert_eq!(score.sentiment, sentiment("Terrible delays again at the airport"));

    message.language = Some("ja-JP".to_owned());
    assert_eq!(scorer.score(&message).language, "en");
    message.title = String::new();
    message.text = "👍".to_owned();
    assert_eq!(scorer.score(&message).language, "ja");
    message.language = Some("no such tag".to_owned());
    assert_eq!(scorer.score(&message).language, "und");
}

#[test]
fn one_scorer_serves_many_threads() {
    let scorer = scorer();
    let alone: Vec<_> = PLAIN.iter().map(|(_, text, _)| scorer.score_text(text)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let together: Vec<_> = PLAIN.iter().map(|(_, text, _)| scorer.score_text(text)).collect();
                assert_eq!(together, alone);
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_has_a_score_in_range(text in "\\PC{0,200}|.{0,200}") {
        let TextScore { language, sentiment: said, .. } = scorer_once().score_text(&text);
        prop_assert!((-1.0..=1.0).contains(&said.score));
        prop_assert!((0.0..=1.0).contains(&said.confidence));
        prop_assert!((0.0..=1.0).contains(&language.confidence));
    }

    #[test]
    fn a_damaged_model_file_is_refused_or_reads_the_same(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4), cut: prop::sample::Index,
    ) {
        let mut bytes = small_model().to_vec();
        for (place, change) in changes {
            let place = place.index(bytes.len());
            bytes[place] ^= change;
        }
        // A few bits mean nothing to zstd, and changes may undo each other: then it is the same model still.
        if let Ok(model) = Model::from_bytes(&bytes) {
            prop_assert_eq!(model.to_bytes().unwrap(), small_model());
        }
        let cut = cut.index(small_model().len());
        prop_assert!(Model::from_bytes(&small_model()[..cut]).is_err());
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Model::from_bytes(&bytes).is_err());
        let behind_magic = [&small_model()[..8], &bytes].concat();
        prop_assert!(Model::from_bytes(&behind_magic).is_err());
    }

    #[test]
    fn a_model_file_that_lies_with_a_right_checksum_takes_the_program_nowhere(
        plain in prop::collection::vec(any::<u8>(), 0..400), length in prop_oneof![0..500_u32, any::<u32>()],
    ) {
        let frame = zstd::bulk::compress(&[&length.to_le_bytes(), plain.as_slice()].concat(), 1).unwrap();
        prop_assert!(Model::from_bytes(&sealed(&frame)).is_err());
        prop_assert!(Model::from_bytes(&sealed(&plain)).is_err());
    }
}

/// A model file around a frame, with the checksum that it should have.
fn sealed(frame: &[u8]) -> Vec<u8> {
    let fnv1a = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let checksum = frame.iter().fold(0xcbf2_9ce4_8422_2325, fnv1a);
    [&small_model()[..8], &checksum.to_le_bytes(), frame].concat()
}

#[test]
fn a_model_file_whose_numbers_would_overflow_is_refused() {
    let plain = zstd::decode_all(&small_model()[16..]).unwrap();
    let (length, rest) = plain.split_first_chunk().unwrap();
    let (header, tables) = rest.split_at(u32::from_le_bytes(*length) as usize);
    let with = |pointer: &str, value: f64| {
        let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
        *header.pointer_mut(pointer).unwrap() = value.into();
        let header = header.to_string();
        let plain = [&(header.len() as u32).to_le_bytes(), header.as_bytes(), tables].concat();
        Model::from_bytes(&sealed(&zstd::bulk::compress(&plain, 1).unwrap())).map(drop)
    };
    assert!(with("/calibration/temperature", 1.0).is_ok());
    for (pointer, value) in [
        ("/calibration/temperature", 1e-45),
        ("/language_temperature", 1e-45),
        ("/sentiment_scale", 3e38),
        ("/language_scale", 3e38),
        ("/sentiment_bias/0", -3e38),
        ("/languages/0/bias", 3e38),
    ] {
        assert!(with(pointer, value).is_err(), "{pointer} {value}");
    }
}

#[test]
fn a_model_file_is_written_as_it_was_read() {
    assert!(Model::from_bytes(small_model()).unwrap().to_bytes().unwrap() == small_model());
    assert!(Model::from_bytes(&sealed(&small_model()[16..])).is_ok());
}

fn scorer_once() -> &'static Scorer {
    static SCORER: std::sync::LazyLock<Scorer> = std::sync::LazyLock::new(scorer);
    &SCORER
}

/// The bytes of a model that was trained on a few lines.
fn small_model() -> &'static [u8] {
    static BYTES: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        train(&small_options(directory.path()), &mut |_| {}).unwrap().to_bytes().unwrap()
    });
    &BYTES
}

fn small_options(directory: &Path) -> TrainOptions {
    let mut english = String::new();
    let mut turkish = String::new();
    for number in 0..60 {
        writeln!(english, "pos\twhat a lovely day number {number}\nneg\tan awful day, number {number}").unwrap();
        writeln!(english, "neu\tday {number} of the month").unwrap();
        writeln!(turkish, "pos\tçok güzel bir gün {number}\nneg\tçok kötü bir gün {number}").unwrap();
    }
    write(directory, "en_days.train.tsv", &english);
    write(directory, "tr_days.train.tsv", &turkish);
    TrainOptions {
        sets: vec![directory.to_owned()],
        lexicon: Some(write(directory, "lexicon.tsv", "lovely\t3\nawful\t-3\ngüzel\t3\nkötü\t-3\n")),
        name: "small-1".to_owned(),
        ..TrainOptions::default()
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn training_gives_the_same_bytes_and_a_model_that_works() {
    let directory = tempfile::tempdir().unwrap();
    let options = small_options(directory.path());
    let mut told = Vec::new();
    let model = train(&options, &mut |progress| told.push(progress)).unwrap();
    let last = told.last().unwrap();
    assert_eq!((last.done, told[0].done), (last.total, 0));
    assert!(model.to_bytes().unwrap() == small_model(), "two trainings on the same files differ");

    let path = directory.path().join("small.bin");
    model.save(&path).unwrap();
    let scorer = Scorer::load(&path).unwrap();
    assert_eq!(scorer.model_name(), "small-1");
    assert!(scorer.score_text("a lovely evening").sentiment.score > 0.2);
    assert!(scorer.score_text("an awful evening").sentiment.score < -0.2);
    assert!(scorer.score_text("kötü bir film").sentiment.score < -0.2);

    let figures = evaluate(&model, &[EvalSource::HeldOut(options.sets)], &mut |_, _| {}).unwrap();
    let classes: Vec<_> = figures.sets.iter().map(|set| (set.name.as_str(), set.classes)).collect();
    assert_eq!(classes, [("en_days", 3), ("tr_days", 2)]);
    assert!(figures.macro_recall_two.unwrap() > 0.9);
}

#[test]
fn a_model_that_goes_on_learns_and_forgets_nothing() {
    let small = || Model::from_bytes(small_model()).unwrap();
    let correction = |number| Labelled {
        language: "en".to_owned(),
        label: "positive".to_owned(),
        text: format!("day {number}: this slaps, no cap"),
    };
    let options = TrainOptions {
        corrections: (0..30).map(correction).collect(),
        name: "ours-1".to_owned(),
        ..TrainOptions::default()
    };
    let adapted = || adapt(small(), &options, &mut |_| {}).unwrap();
    assert!(adapted().to_bytes().unwrap() == adapted().to_bytes().unwrap(), "two trainings on the same texts differ");
    let (before, after) = (Scorer::new(small()), Scorer::new(adapted()));
    assert_eq!(after.model_name(), "ours-1");
    let slang = |scorer: &Scorer| scorer.score_text("it slaps, no cap").sentiment.score;
    assert!(slang(&after) > slang(&before) + 0.2);
    assert!(after.score_text("an awful evening").sentiment.score < -0.2);
    assert!(after.score_text("kötü bir film").sentiment.score < -0.2);

    let wrong = Labelled { label: "sarcastic".to_owned(), ..correction(1) };
    let wrong = TrainOptions { corrections: vec![wrong], ..TrainOptions::default() };
    let error = adapt(small(), &wrong, &mut |_| {}).err().unwrap();
    assert!(error.to_string().contains("sarcastic"), "{error}");
}

#[test]
fn a_wrong_line_is_named_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let fails = |options: &TrainOptions| train(options, &mut |_| {}).err().unwrap().to_string();
    let good = small_options(directory.path());

    let options =
        TrainOptions { lexicon: Some(write(directory.path(), "bad.tsv", "fine\t1\nnot so\n")), ..good.clone() };
    assert!(fails(&options).contains("bad.tsv: line 2: expected a word"), "{}", fails(&options));

    let options =
        TrainOptions { languages: Some(write(directory.path(), "l.tsv", "nl\tgoed\nxx\tbad\n")), ..good.clone() };
    assert!(fails(&options).contains("l.tsv:2: expected a known language"), "{}", fails(&options));

    write(directory.path(), "en_bad.train.tsv", "pos\tgood\nmixed\tboth\n");
    assert!(fails(&good).contains("en_bad.train.tsv:2: the label is \"mixed\""), "{}", fails(&good));
    write(directory.path(), "en_bad.train.tsv", "pos\tgood\nno tab here\n");
    assert!(fails(&good).contains("en_bad.train.tsv:2: expected a label"), "{}", fails(&good));

    let empty = tempfile::tempdir().unwrap();
    let options = TrainOptions { sets: vec![empty.path().to_owned()], ..TrainOptions::default() };
    assert!(fails(&options).contains("no NAME.train.tsv file"), "{}", fails(&options));
    let options = TrainOptions { sets: vec![empty.path().join("en_gone.train.tsv")], ..TrainOptions::default() };
    assert!(fails(&options).contains("cannot read"), "{}", fails(&options));
}

#[test]
fn evaluation_counts_what_people_said() {
    let directory = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"said": "I love this wonderful flight, thank you", "felt": "positive"}"#,
        r#"{"said": "awful, the worst, I hate it", "felt": "negative"}"#,
        r#"{"said": "awful, the worst, I hate it", "felt": "positive"}"#,
        r#"{"said": "https://example.org", "felt": "neutral"}"#,
    ];
    let path = write(directory.path(), "said.jsonl", &lines.join("\n"));
    let source =
        |label: &str| EvalSource::Jsonl { path: path.clone(), text: "said".to_owned(), label: label.to_owned() };
    let model = Model::built_in().unwrap();
    let figures = evaluate(&model, &[source("felt")], &mut |_, _| {}).unwrap();
    let set = &figures.sets[0];
    assert_eq!(set.confusion, [[1, 0, 0], [0, 1, 0], [1, 0, 1]]);
    assert_eq!((set.accuracy, set.coverage, set.accuracy_unsure_is_neutral), (0.75, 0.75, 0.75));
    assert!((set.accuracy_when_sure - 2.0 / 3.0).abs() < 1e-9);
    assert!((set.macro_recall - 2.5 / 3.0).abs() < 1e-9);
    assert!((set.macro_f1 - (2.0 / 3.0 + 1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-9);

    let wrong = evaluate(&model, &[source("feeling")], &mut |_, _| {}).err().unwrap().to_string();
    assert!(wrong.contains("said.jsonl:1: expected a field \"feeling\""), "{wrong}");
}

#[test]
fn the_model_card_tells_what_the_model_does() {
    let data = std::env::var_os("HEARKEN_TEST_DATA").map(PathBuf::from);
    let how = "set HEARKEN_TEST_DATA to the directory that holds sentiment/";
    let Some(data) = support::require("figures of the model card", data, how) else { return };
    let model = Model::built_in().unwrap();
    let sources = [EvalSource::HeldOut(vec![data.join("sentiment")])];
    let figures = evaluate(&model, &sources, &mut |_, _| {}).unwrap();

    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let comparable = |text: &str| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value.as_object_mut().unwrap().remove("texts_per_second").unwrap();
        value
    };
    let committed = comparable(&std::fs::read_to_string(models.join("figures.json")).unwrap());
    let measured = comparable(&serde_json::to_string(&figures).unwrap());
    assert_eq!(measured["sets"], committed["sets"]);
    assert_eq!(measured, committed);

    let card = std::fs::read_to_string(models.join("README.md")).unwrap();
    let table = figures.to_table();
    let (speed, rows) = table.trim_end().rsplit_once('\n').map(|(rows, speed)| (speed, rows)).unwrap();
    assert!(speed.contains("texts/s"));
    assert!(card.contains(rows), "models/README.md does not hold this table:\n{rows}");
}
