//! What the author of a mail said, without what others said before and without the signature; pure.
//!
//! Works on plain text in which quotations may begin with `>` (see [`super::mime`]). Nothing but lines
//! is known, and every mail program writes others; the rules prefer to leave a foreign line in over
//! taking the author's own away, and where nothing of the author's would remain, all is kept.

use super::phrases::{FROM, OPENERS, OTHER_FIELDS, SENT_FROM, SEPARATORS, SUBJECT, WROTE};

/// A longer line introduces nothing, in bytes.
const LONGEST_INTRODUCTION: usize = 400;
/// The header block of an answered mail is found within so many lines.
const BLOCK: usize = 8;

/// What the author said: the text up to where a signature, a repeated mail or the introduction of
/// one begins, without the lines of quotations in between.
pub(super) fn said(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let end = (0..lines.len()).find_map(|at| end_of_own(&lines, at)).unwrap_or(lines.len());
    let before = lines.get(..end).unwrap_or_default();
    let mut own: Vec<&str> = Vec::with_capacity(before.len());
    for (at, line) in before.iter().enumerate() {
        if !is_quoted(line) {
            own.push(line);
        } else if !at.checked_sub(1).and_then(|last| before.get(last)).is_some_and(|last| is_quoted(last)) {
            drop_introduction(&mut own);
        }
    }
    drop_tail(&mut own);
    let own = tidy(&own);
    if own.is_empty() { tidy(&lines) } else { own }
}

/// Where the author's words end, if this line says that what follows is somebody else's.
fn end_of_own(lines: &[&str], at: usize) -> Option<usize> {
    let line = lines.get(at)?;
    if is_quoted(line) {
        return None;
    }
    if is_signature_mark(line) || is_separator(line) || is_header_block(lines, at) {
        return Some(at);
    }
    let length = introduction(lines.get(..=at)?)?;
    let start = (at + 1).saturating_sub(length);
    let words = lines.get(start..=at)?.join(" ");
    let next = lines.iter().skip(at + 1).find(|line| !line.trim().is_empty());
    // Its quotation is marked line by line, with answers in between; or it is all the rest.
    let is_all_the_rest = !next.is_some_and(|next| is_quoted(next)) && (words.contains('@') || has_time(&words));
    is_all_the_rest.then_some(start)
}

fn is_quoted(line: &str) -> bool {
    line.trim_start_matches([' ', '\u{a0}']).starts_with('>')
}

/// RFC 3676, section 4.3; many programs lose the space at its end.
fn is_signature_mark(line: &str) -> bool {
    matches!(line.trim_end(), "--" | "—" | "--\u{a0}")
}

fn is_separator(line: &str) -> bool {
    let line = line.trim();
    let inner = line.trim_matches(['-', '_', '=', '*', ' ', '\u{2010}', '\u{2014}']);
    let is_marked = line.starts_with("--") || line.starts_with("==") || line.starts_with("__");
    let words = inner.trim_end_matches([':', '：']).to_lowercase();
    let is_whole = inner.ends_with(':')
        && (words.starts_with("begin") || words.starts_with("début") || words.starts_with("anfang"));
    inner.len() < 120
        && (is_marked || is_whole)
        && SEPARATORS.iter().any(|known| words == *known || is_marked && words.starts_with(known))
}

/// A line `From: …` with a subject and one more of the fields close below.
fn is_header_block(lines: &[&str], at: usize) -> bool {
    let is_from = lines.get(at).and_then(|line| label(line)).is_some_and(|label| FROM.contains(&label.as_str()));
    let below = || lines.iter().skip(at + 1).take(BLOCK).filter_map(|line| label(line));
    is_from
        && below().any(|label| SUBJECT.contains(&label.as_str()))
        && below().any(|label| OTHER_FIELDS.contains(&label.as_str()))
}

/// What stands before the first colon, if it can be the name of a field.
fn label(line: &str) -> Option<String> {
    let line = line.trim_start_matches(['*', ' ', '\u{a0}', '\u{200f}', '\u{200e}']);
    let (label, _) = line.split_once([':', '：'])?;
    let label = label.trim_matches(['*', ' ', '\u{a0}']);
    (label.len() <= 40).then(|| label.to_lowercase())
}

/// The number of lines, at the end of these, that introduce a quotation.
fn introduction(lines: &[&str]) -> Option<usize> {
    let is_bare = |line: &str| line.trim().is_empty() || is_quoted(line) || line.len() > LONGEST_INTRODUCTION;
    let (last, above) = lines.split_last()?;
    let end = last.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '\u{200e}' | '\u{200f}'));
    if is_bare(last) || !end.ends_with([':', '：']) {
        return None;
    }
    let mut length = 1;
    let mut words = end.to_lowercase();
    for line in above.iter().rev().take(3) {
        if is_introduction(&words) || is_bare(line) {
            break;
        }
        length += 1;
        words = format!("{} {words}", line.to_lowercase());
    }
    if !is_introduction(&words) {
        return None;
    }
    // The date may stand on a line of its own above the name.
    let opens = |line: &&&str| {
        let line = line.trim_start().to_lowercase();
        !is_bare(&line)
            && OPENERS.iter().any(|opener| line.starts_with(opener))
            && line.contains(char::is_numeric)
            && !line.ends_with('.')
    };
    let one_above = above.len().checked_sub(length).and_then(|at| above.get(at));
    let is_open = OPENERS.iter().any(|opener| words.trim_start().starts_with(opener));
    Some(length + usize::from(!is_open && one_above.as_ref().is_some_and(opens)))
}

fn is_introduction(words: &str) -> bool {
    let has_verb = WROTE.iter().any(|verb| words.contains(verb));
    let has_who_or_when = words.contains('@') || words.contains(char::is_numeric);
    // Without a verb, as Gmail does it in Russian: `пн, 1 янв. 2024 г. в 10:00, Ann <a@b.example>:`
    let is_bare = words.contains('@') && words.trim_end_matches([':', '：', ' ']).ends_with('>') && has_time(words);
    has_verb && has_who_or_when || is_bare
}

/// True for text with a time of day in it: `9:30`, `9.30`, `9h30`.
fn has_time(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    chars.windows(4).any(|four| match four {
        [hour, separator, minute, more] => {
            hour.is_numeric() && matches!(separator, ':' | 'h' | '：') && minute.is_numeric() && more.is_numeric()
        }
        _ => false,
    })
}

/// Takes the introduction of a quotation off the end.
fn drop_introduction(own: &mut Vec<&str>) {
    let blank = own.iter().rev().take_while(|line| line.trim().is_empty()).count();
    let end = own.len() - blank;
    if blank <= 1
        && let Some(length) = introduction(own.get(..end).unwrap_or_default())
    {
        own.truncate(end.saturating_sub(length));
    }
}

/// Takes what programs put below a mail off the end: "Sent from my phone", and rules.
fn drop_tail(own: &mut Vec<&str>) {
    while let Some(line) = own.last() {
        let line = line.trim().to_lowercase();
        let is_rule = line.chars().all(|c| matches!(c, '_' | '-' | '=' | '*' | ' '));
        let is_sent_from = line.len() < 120 && SENT_FROM.iter().any(|start| line.starts_with(start));
        if !is_rule && !is_sent_from {
            break;
        }
        own.pop();
    }
}

/// The lines without space at their ends, with one empty line between paragraphs at most.
fn tidy(lines: &[&str]) -> String {
    let mut text = String::new();
    let mut blank = 0;
    for line in lines.iter().map(|line| line.trim_end()) {
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !text.is_empty() {
            text.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        blank = 0;
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_above_the_quotation_in_many_languages() {
        for introduction in [
            "On Mon, Jan 1, 2024 at 10:00 AM Ann Lee <ann@example.org> wrote:",
            "On Mon, Jan 1, 2024 at 10:00 AM Ann Lee <ann@example.org>\nwrote:",
            "On Jan 1, 2024, at 10:00,\nAnn Lee <ann@example.org> wrote:",
            "Am 01.01.2024 um 10:00 schrieb Ann Lee:",
            "Am Mo., 1. Jan. 2024 um 10:00 Uhr schrieb Ann Lee <\nann@example.org>:",
            "Le lun. 1 janv. 2024 à 10:00, Ann Lee <ann@example.org> a écrit :",
            "El lun, 1 ene 2024 a las 10:00, Ann Lee (<ann@example.org>) escribió:",
            "Em seg., 1 de jan. de 2024 às 10:00, Ann Lee <ann@example.org> escreveu:",
            "Il giorno lun 1 gen 2024 alle ore 10:00 Ann Lee <ann@example.org> ha scritto:",
            "Op ma 1 jan 2024 om 10:00 schreef Ann Lee <ann@example.org>:",
            "Ann Lee <ann@example.org>, 1 Oca 2024 Pzt, 10:00 tarihinde şunu yazdı:",
            "pon., 1 sty 2024 o 10:00 Ann Lee <ann@example.org> napisał(a):",
            "W dniu 1.01.2024 o 10:00, Ann Lee pisze:",
            "пн, 1 січ. 2024 р. о 10:00 Ann Lee <ann@example.org> пише:",
            "пн, 1 янв. 2024 г. в 10:00, Ann Lee <ann@example.org>:",
            "01.01.2024 10:00, Ann Lee пишет:",
            "در تاریخ دوشنبه ۱ ژانویهٔ ۲۰۲۴،‏ ۱۰:۰۰ Ann Lee <ann@example.org> نوشت:",
            "Ann Lee <ann@example.org> 于2024年1月1日周一 10:00写道：",
            "2024年1月1日(月) 10:00 Ann Lee <ann@example.org>のメッセージ:",
            "-----Original Message-----",
            "-----Ursprüngliche Nachricht-----",
            "-------- Message d’origine --------",
            "----- Mensaje original -----",
            "-----Orijinal Mesaj-----",
            "-----Oryginalna wiadomość-----",
            "-----Исходное сообщение-----",
            "-------- Початкове повідомлення --------",
            "------------------ 原始邮件 ------------------",
            "---------- Forwarded message ---------",
            "From: Ann Lee <ann@example.org>\nSent: Monday, 1 January 2024 10:00\nTo: Bo\nSubject: Kettle",
            "Von: Ann Lee\nGesendet: Montag, 1. Januar 2024 10:00\nAn: Bo\nBetreff: Kessel",
            "De : Ann Lee\nEnvoyé : lundi 1 janvier 2024 10:00\nÀ : Bo\nObjet : Bouilloire",
            "De: Ann Lee\nEnviado el: lunes, 1 de enero de 2024\nPara: Bo\nAsunto: Hervidor",
            "Kimden: Ann Lee\nGönderildi: 1 Ocak 2024\nKime: Bo\nKonu: Çaydanlık",
            "Od: Ann Lee\nWysłano: 1 stycznia 2024\nDo: Bo\nTemat: Czajnik",
            "*Від:* Ann Lee\n*Надіслано:* 1 січня 2024\n*Кому:* Bo\n*Тема:* Чайник",
            "От: Ann Lee\nОтправлено: 1 января 2024\nКому: Bo\nТема: Чайник",
            "از: Ann Lee\nارسال: ۱ ژانویه\nبه: Bo\nموضوع: کتری",
            "发件人: Ann Lee\n发送时间: 2024年1月1日\n收件人: Bo\n主题: 水壶",
            "-- \nBo Berg\nAcme",
        ] {
            for quote in ["Where is\nmy kettle?", "> Where is\n> my kettle?"] {
                let mail = format!("It is on its way.\n\nYours, Bo\n\n{introduction}\n\n{quote}\n");
                assert_eq!(said(&mail), "It is on its way.\n\nYours, Bo", "{introduction}");
            }
        }
    }

    #[test]
    fn answers_in_between_are_kept() {
        let mail = "Hello,\n\nOn 1 Jan 2024 at 10:00, Ann <ann@example.org> wrote:\n> Does it boil?\nYes.\n> Does it whistle?\n>\n> Please say.\n\nNo.\n-- \nBo";
        assert_eq!(said(mail), "Hello,\n\nYes.\n\nNo.");
    }

    #[test]
    fn what_only_looks_like_a_quotation_is_kept() {
        for own in [
            "On Monday my boss wrote:\nThe kettle is broken.\nI agree.",
            "From: London\nTo: Paris\nDate: 3 May\nMy bag is lost.",
            "From: where? To be honest, I do not know.",
            "Dear all,\n\nthe price: 5 > 3, and a -- b.\n\nThree things:\n- one\n- two",
            "He said at 10:30:\nnever again",
            "a\n---\nb",
        ] {
            assert_eq!(said(own), own);
        }
    }

    #[test]
    fn phones_are_not_quoted() {
        assert_eq!(said("Broken again!\n\nSent from my iPhone"), "Broken again!");
        assert_eq!(
            said("Kaputt.\nVon meinem iPhone gesendet\n\n> Am 1.1.24 um 9:00 schrieb A <a@b.example>:\n> x"),
            "Kaputt."
        );
        assert_eq!(
            said("坏了\n\n发自我的 iPhone\n________________________________\n发件人: a\n日期: b\n主题: c"),
            "坏了"
        );
    }

    #[test]
    fn a_mail_of_nothing_but_quotation_is_kept() {
        let forwarded = "---------- Forwarded message ---------\nFrom: Ann <ann@example.org>\n\nMy kettle is broken";
        assert_eq!(said(forwarded), forwarded);
        assert_eq!(said("> all\n> quoted"), "> all\n> quoted");
    }

    fn words() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[a-zäğшнж写 ]{0,12}[.!]?", 1..8)
    }

    proptest! {
        #[test]
        fn nothing_is_invented(text in "(>|--|On|wrote:|From:|Sent:|To:|[0-9]:[0-9]{2}|@|\n|\\PC){0,80}") {
            let mut rest = text.lines().map(str::trim_end);
            for line in said(&text).lines().filter(|line| !line.is_empty()) {
                prop_assert!(rest.any(|original| original == line), "{line:?}");
            }
        }

        #[test]
        fn plain_words_are_kept_whatever_is_quoted_below(own in words(), quoted in words()) {
            let own = own.join("\n");
            prop_assume!(!own.trim().is_empty() && SENT_FROM.iter().all(|start| !own.contains(start.trim())));
            let alone = said(&own);
            prop_assert_eq!(&alone, &tidy(&own.lines().collect::<Vec<_>>()));
            let quoted: String = quoted.iter().map(|line| format!("> {line}\n")).collect();
            let mail = format!("{own}\n\nOn 1 Jan 2024 at 10:00, Ann <ann@example.org> wrote:\n{quoted}");
            prop_assert_eq!(said(&mail), alone);
        }

        #[test]
        fn quotations_go_while_there_are_own_words(lines in prop::collection::vec("(> )?[a-z]{1,9}", 1..20)) {
            let text = lines.join("\n");
            let own = lines.iter().any(|line| !line.starts_with('>'));
            prop_assert_eq!(said(&text).lines().any(is_quoted), !own);
        }
    }
}
