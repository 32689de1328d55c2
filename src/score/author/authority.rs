//! Authority: who is spoken to by those who are spoken to. PageRank on the graph of who speaks to whom.
//!
//! # Who has a vote
//!
//! Accounts cost nothing, and so do words: no formula that treats all accounts alike withstands somebody who makes
//! thousands of them (Cheng and Friedman, "Sybilproof reputation mechanisms", 2005). What cannot be made is the past,
//! and an answer of somebody else. So votes start in one place, the **circle**:
//!
//! - Two accounts have a *tie* when each of them spoke to the other. A circle is whatever ties connect.
//! - *The* circle is the one whose hundred longest-heard members were heard for the most days, first to last, in sum:
//!   size beyond a hundred buys nothing, and a farm would have to be older than the conversation that it wants to enter.
//! - Its members have a vote: a full one after thirty days, less before. They are PageRank's teleport vector. Everybody
//!   else passes on what they are given. What automated accounts say does not count at all.
//!
//! Each account shares its vote between those to whom it speaks, by the square root of the number of days on which it
//! did. What it gives to accounts that were never heard is lost to them.
//!
//! So a farm, of any shape and size, however often its accounts speak to each other, to a master and to the circle, has
//! no authority at all as long as nobody outside speaks to it; and where somebody does, no more than they give.
//!
//! *Limits.* Once a member of the circle and an account of a farm have spoken to each other, the farm is of the circle:
//! then its accounts vote as far as their age allows, which is nothing on their first day. Where nobody talks to anybody,
//! nobody has authority. A second conversation that has no tie to the circle is heard only where the circle speaks to it.
//!
//! # PageRank
//!
//! Page et al., "The PageRank citation ranking", 1999, with damping 0.85 and the vote of accounts that speak to nobody
//! given back to the circle. Order and arithmetic are fixed: the same graph gives the same bits.

/// Part of a rank that is passed on.
pub const DAMPING: f64 = 0.85;
/// The iteration ends when ranks move by less than this in sum, of a total of 1.
const TOLERANCE: f64 = 1e-9;
/// And after so many rounds in any case: 0.85^150 is below 1e-10.
const MOST_ROUNDS: usize = 150;
/// Days between first and last message that make a full vote.
const FULL_VOTE_DAYS: f64 = 30.0;
/// Members that a circle is judged by.
const JUDGED_MEMBERS: usize = 100;
/// Weights are square roots in this unit.
const WEIGHT_OF_A_DAY: f64 = 1024.0;

/// Who speaks to whom, while it is gathered. What automated accounts say does not belong in here. The order in which it
/// is gathered changes nothing: all sums are of integers. 12 bytes for each contact.
#[derive(Debug, Default)]
pub struct Contacts {
    /// Who was spoken to, who spoke, and the weight of it.
    heard: Vec<(u32, u32, u32)>,
    /// What each account's vote is divided by: the weights of all its contacts.
    given: Vec<u64>,
}

impl Contacts {
    /// Between this many accounts, numbered from 0.
    pub fn new(accounts: usize) -> Self {
        Self { heard: Vec::new(), given: vec![0; accounts] }
    }

    /// `from` spoke to `to` (`None` where they were never heard) on so many days. Left out are those who speak to
    /// themselves, and numbers that no account has.
    pub fn add(&mut self, from: u32, to: Option<u32>, days: u32) {
        let is_account = |number: u32| (number as usize) < self.given.len();
        if to.is_some_and(|to| to == from || !is_account(to)) {
            return;
        }
        let weight = (f64::from(days).sqrt() * WEIGHT_OF_A_DAY).round() as u32;
        let Some(given) = self.given.get_mut(from as usize) else { return };
        *given += u64::from(weight);
        self.heard.extend(to.map(|to| (to, from, weight)));
    }

    /// The graph of them.
    pub fn into_graph(mut self) -> Graph {
        self.heard.sort_unstable();
        let mut starts = Vec::with_capacity(self.given.len() + 1);
        for (index, (to, _, _)) in self.heard.iter().enumerate() {
            while starts.len() <= *to as usize {
                starts.push(index);
            }
        }
        starts.resize(self.given.len() + 1, self.heard.len());
        let speakers = self.heard.into_iter().map(|(_, from, weight)| (from, weight)).collect();
        Graph { starts, speakers, given: self.given }
    }
}

/// Who speaks to whom, by the number of who is spoken to. 8 bytes for each contact, 16 for each account.
#[derive(Debug, Default)]
pub struct Graph {
    /// The speakers to account `n` are those from `starts[n]` to `starts[n + 1]`.
    starts: Vec<usize>,
    /// Who spoke, in the order of their numbers, and the weight of it.
    speakers: Vec<(u32, u32)>,
    given: Vec<u64>,
}

impl Graph {
    /// Accounts.
    pub fn accounts(&self) -> usize {
        self.given.len()
    }

    /// Contacts between accounts that were heard.
    pub fn contacts(&self) -> usize {
        self.speakers.len()
    }

    /// Who spoke to an account.
    fn speakers(&self, account: usize) -> &[(u32, u32)] {
        let start = self.starts.get(account).copied().unwrap_or_default();
        let end = self.starts.get(account + 1).copied().unwrap_or(start);
        self.speakers.get(start..end).unwrap_or_default()
    }

    /// The votes, 0..=1 each, of accounts that were heard for so many whole days, first to last. All are 0 where there
    /// is no circle.
    pub fn votes(&self, heard_days: &[u32]) -> Vec<f64> {
        let circles = self.circles();
        let heard = |account: usize| heard_days.get(account).copied().unwrap_or_default();
        let mut members: Vec<(u32, u32)> = Vec::new();
        for (account, circle) in circles.iter().enumerate() {
            members.extend(circle.map(|circle| (circle, heard(account))));
        }
        members.sort_unstable_by_key(|(circle, days)| (*circle, std::cmp::Reverse(*days)));
        let judged = members.chunk_by(|a, b| a.0 == b.0).filter_map(|circle| {
            let strength: u64 = circle.iter().take(JUDGED_MEMBERS).map(|(_, days)| u64::from(*days)).sum();
            Some((strength, std::cmp::Reverse(circle.first()?.0)))
        });
        let strongest = judged.filter(|(strength, _)| *strength > 0).max().map(|(_, circle)| circle.0);
        let vote = |(account, circle): (usize, &Option<u32>)| match strongest {
            Some(_) if *circle == strongest => (f64::from(heard(account)) / FULL_VOTE_DAYS).min(1.0),
            _ => 0.0,
        };
        circles.iter().enumerate().map(vote).collect()
    }

    /// For each account the lowest number in its circle; `None` where it has no tie.
    fn circles(&self) -> Vec<Option<u32>> {
        let mut parents: Vec<u32> = (0..self.accounts() as u32).collect();
        let mut tied = vec![false; self.accounts()];
        for account in 0..self.accounts() {
            let earlier = self.speakers(account).iter().take_while(|(speaker, _)| (*speaker as usize) < account);
            for (speaker, _) in earlier {
                let answers = self.speakers(*speaker as usize);
                if answers.binary_search_by_key(&(account as u32), |(from, _)| *from).is_err() {
                    continue;
                }
                for end in [account, *speaker as usize] {
                    tied.get_mut(end).into_iter().for_each(|tied| *tied = true);
                }
                let (a, b) = (root(&mut parents, account as u32), root(&mut parents, *speaker));
                parents.get_mut(a.max(b) as usize).into_iter().for_each(|parent| *parent = a.min(b));
            }
        }
        let circle = |(account, tied): (usize, bool)| tied.then(|| root(&mut parents, account as u32));
        tied.into_iter().enumerate().map(circle).collect()
    }

    /// The voices that each account is given by others, in full votes.
    pub fn voices(&self, heard_days: &[u32]) -> Vec<f64> {
        let votes = self.votes(heard_days);
        let all: f64 = votes.iter().sum();
        let Ranks { received, .. } = self.page_rank(&votes);
        received.into_iter().map(|received| received * all).collect()
    }

    /// PageRank with these votes as teleport vector, whatever they sum to; all is 0 where there is no vote.
    pub fn page_rank(&self, votes: &[f64]) -> Ranks {
        let all: f64 = votes.iter().sum();
        let nothing = vec![0.0; self.accounts()];
        if votes.len() != self.accounts() || all <= 0.0 || !all.is_finite() {
            return Ranks { ranks: nothing.clone(), received: nothing, rounds: 0 };
        }
        let votes: Vec<f64> = votes.iter().map(|vote| vote / all).collect();
        let (mut ranks, mut received, mut shares) = (votes.clone(), nothing.clone(), nothing);
        let mut rounds = 0;
        while rounds < MOST_ROUNDS {
            rounds += 1;
            for (share, (rank, given)) in shares.iter_mut().zip(ranks.iter().zip(&self.given)) {
                *share = if *given > 0 { DAMPING * rank / *given as f64 } else { 0.0 };
            }
            for (account, received) in received.iter_mut().enumerate() {
                let given = |(speaker, weight): &(u32, u32)| {
                    shares.get(*speaker as usize).copied().unwrap_or_default() * f64::from(*weight)
                };
                // An empty sum of floating-point numbers is -0.
                *received = self.speakers(account).iter().map(given).fold(0.0, |sum, given| sum + given);
            }
            // What was given to nobody goes back to those who vote.
            let back = 1.0 - received.iter().sum::<f64>();
            let mut moved = 0.0;
            for ((rank, received), vote) in ranks.iter_mut().zip(&received).zip(&votes) {
                let new = received + back * vote;
                moved += (new - *rank).abs();
                *rank = new;
            }
            if moved < TOLERANCE {
                break;
            }
        }
        Ranks { ranks, received, rounds }
    }
}

/// What PageRank finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// By account; their sum is 1, or 0 where there is no vote.
    pub ranks: Vec<f64>,
    /// The part of the rank that comes from others.
    pub received: Vec<f64>,
    /// Rounds that it took.
    pub rounds: usize,
}

/// The root of a number, with the way to it halved.
fn root(parents: &mut [u32], mut number: u32) -> u32 {
    loop {
        let parent = parents.get(number as usize).copied().unwrap_or(number);
        if parent == number {
            return number;
        }
        let above = parents.get(parent as usize).copied().unwrap_or(parent);
        if let Some(entry) = parents.get_mut(number as usize) {
            *entry = above;
        }
        number = above;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;

    fn graph(accounts: usize, contacts: &[(u32, u32, u32)]) -> Graph {
        let mut gathered = Contacts::new(accounts);
        for (from, to, days) in contacts {
            gathered.add(*from, Some(*to), *days);
        }
        gathered.into_graph()
    }

    /// The ranks by the definition: one dense matrix, many rounds.
    fn dense(accounts: usize, contacts: &[(u32, u32, u32)], votes: &[f64]) -> Vec<f64> {
        let mut matrix = vec![vec![0.0; accounts]; accounts];
        for (from, to, days) in contacts.iter().filter(|(from, to, _)| from != to) {
            matrix[*from as usize][*to as usize] += f64::from(*days).sqrt();
        }
        let all: f64 = votes.iter().sum();
        let mut ranks: Vec<f64> = votes.iter().map(|vote| vote / all).collect();
        for _ in 0..400 {
            let mut next: Vec<f64> = votes.iter().map(|vote| (1.0 - DAMPING) * vote / all).collect();
            for (from, row) in matrix.iter().enumerate() {
                let given: f64 = row.iter().sum();
                for (to, next) in next.iter_mut().enumerate() {
                    let share = if given > 0.0 { row[to] / given } else { votes[to] / all };
                    *next += DAMPING * ranks[from] * share;
                }
            }
            ranks = next;
        }
        ranks
    }

    fn contacts(accounts: u32, most: usize) -> impl Strategy<Value = Vec<(u32, u32, u32)>> {
        prop::collection::vec((0..accounts, 0..accounts, 1..40_u32), 0..most)
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_the_definition(
            contacts in contacts(30, 120), votes in prop::collection::vec(0.01..1.0, 30),
        ) {
            let found = graph(30, &contacts).page_rank(&votes);
            let sum: f64 = found.ranks.iter().sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "{sum}");
            // Weights are rounded to a thousandth.
            for (found, expected) in found.ranks.iter().zip(dense(30, &contacts, &votes)) {
                prop_assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }

        #[test]
        fn the_order_of_contacts_changes_nothing(
            (contacts, shuffled) in contacts(40, 200).prop_flat_map(|it| (Just(it.clone()), Just(it).prop_shuffle())),
            heard in prop::collection::vec(0..60_u32, 40),
        ) {
            prop_assert_eq!(graph(40, &contacts).voices(&heard), graph(40, &shuffled).voices(&heard));
        }
    }

    #[test]
    fn accounts_that_are_not_there_and_those_who_speak_to_themselves_are_left_out() {
        let odd = graph(2, &[(0, 0, 3), (0, 7, 1), (7, 0, 1), (0, 1, 1)]);
        assert_eq!((odd.accounts(), odd.contacts()), (2, 1));
        assert_eq!(graph(0, &[]).voices(&[]), Vec::<f64>::new());
    }

    #[test]
    fn what_is_given_to_those_never_heard_is_lost() {
        // 0 and 1 are the circle; 0 speaks to 2, too.
        let voices = |elsewhere: bool| {
            let mut contacts = Contacts::new(3);
            [(0, 1), (1, 0), (0, 2)].into_iter().for_each(|(from, to)| contacts.add(from, Some(to), 1));
            if elsewhere {
                contacts.add(0, None, 1);
            }
            contacts.into_graph().voices(&[30, 30, 0])
        };
        assert!(voices(false)[2] > 0.3 && voices(true)[2] < voices(false)[2] * 0.8);
    }

    #[test]
    fn agrees_with_voices_worked_out_by_hand() {
        // Two who speak to each other only: each keeps rank 1/2, of which 0.85 comes from the other; times two votes.
        let voices = graph(3, &[(0, 1, 1), (1, 0, 1)]).voices(&[30, 30, 99]);
        assert!((voices[0] - 0.85).abs() < 1e-6 && (voices[1] - 0.85).abs() < 1e-6 && voices[2] == 0.0, "{voices:?}");
        assert_eq!(graph(3, &[(0, 1, 1), (1, 2, 1)]).voices(&[30, 30, 30]), [0.0; 3], "nobody answers anybody");
    }

    /// An honest conversation: everybody answers some others, over months.
    const HONEST: u32 = 60;

    fn honest() -> (Vec<(u32, u32, u32)>, Vec<u32>) {
        let mut contacts = Vec::new();
        for account in 0..HONEST - 1 {
            for step in [1, 7, 19] {
                let other = (account + step) % (HONEST - 1);
                contacts.extend([(account, other, 2), (other, account, 1)]);
            }
        }
        // The last one speaks to nobody, and four independent authors speak to them.
        contacts.extend([5, 20, 33, 48].map(|author| (author, HONEST - 1, 1)));
        let heard = (0..HONEST).map(|account| 20 + account * 7 % 180).collect();
        (contacts, heard)
    }

    /// A farm of any size and shape, younger than the conversation.
    #[derive(Debug, Clone)]
    struct Farm {
        contacts: Vec<(u32, u32, u32)>,
        heard: Vec<u32>,
    }

    fn farm() -> impl Strategy<Value = Farm> {
        let shape = (2..3000_u32, 0..6_u32, 1..8_u32, any::<bool>(), 0..20_u32);
        (shape, any::<u64>()).prop_map(|((size, shape, out, answers, age), seed)| {
            let mut random = seed | 1;
            let mut chance = move |limit: u32| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random % u64::from(limit.max(1))) as u32
            };
            let master = HONEST;
            let account = |number: u32| HONEST + number % size;
            let mut contacts = Vec::new();
            for number in 1..size {
                let to = match shape {
                    0 => 0,                                    // a star
                    1 => number + 1,                           // a ring
                    2 => number / 2,                           // a tree
                    3 => number ^ 1,                           // pairs
                    4 => number.saturating_sub(1 + chance(9)), // layers
                    _ => chance(size),                         // anything
                };
                for _ in 0..out {
                    contacts.push((account(number), account(chance(size)), 1 + chance(30)));
                }
                contacts.extend([(account(number), account(to), 30), (account(number), master, 30)]);
                if answers {
                    contacts.push((master, account(number), 30));
                }
                // Everybody in the conversation is spoken to, too.
                contacts.push((account(number), chance(HONEST), 30));
            }
            Farm { contacts, heard: (0..size).map(|_| chance(age + 1)).collect() }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_farm_to_which_nobody_speaks_has_no_authority(farm in farm()) {
            let (mut contacts, mut heard) = honest();
            contacts.extend(&farm.contacts);
            heard.extend(&farm.heard);
            let voices = graph(heard.len(), &contacts).voices(&heard);
            let (conversation, farm) = voices.split_at(HONEST as usize);
            prop_assert!(farm.iter().all(|voices| *voices == 0.0));
            prop_assert!(conversation.iter().all(|voices| *voices > 0.2), "{conversation:?}");
        }

        /// Somebody who does not answer the farm's accounts speaks of its master.
        #[test]
        fn a_farm_has_no_more_than_it_is_given(mut farm in farm()) {
            let (mut contacts, mut heard) = honest();
            // No tie: the master does not speak to those who spoke of it.
            farm.contacts.retain(|(from, to, _)| *from != HONEST || *to >= HONEST);
            contacts.extend(&farm.contacts);
            contacts.push((0, HONEST, 1));
            contacts.retain(|(from, to, _)| (*from, *to) != (HONEST, 0));
            heard.extend(&farm.heard);
            let voices = graph(heard.len(), &contacts).voices(&heard);
            // Whatever 0 has, shared with seven others, and passed around in the farm for ever.
            let given = DAMPING * (voices[0] + 1.0) / 7.0 / (1.0 - DAMPING);
            let all: f64 = voices[HONEST as usize..].iter().sum();
            prop_assert!(all <= given, "{all} {given}");
        }
    }

    #[test]
    fn a_farm_that_somebody_answers_has_no_vote_on_its_first_day() {
        let (mut contacts, mut heard) = honest();
        let farm = HONEST..HONEST + 2000;
        for account in farm.clone() {
            contacts.extend([(account, HONEST, 1), (HONEST, account, 1), (account, 3, 1)]);
        }
        contacts.push((3, HONEST + 5, 1));
        heard.extend(farm.map(|_| 0));
        let voices = graph(heard.len(), &contacts).voices(&heard);
        assert!(voices[HONEST as usize] < voices[HONEST as usize - 1], "the master is behind who four spoke to");
        assert!(voices[HONEST as usize..].iter().sum::<f64>() < 3.0);
    }

    #[test]
    fn a_farm_larger_than_the_conversation_but_younger_is_not_the_circle() {
        let (mut contacts, mut heard) = honest();
        for account in HONEST..HONEST + 3000 {
            contacts.extend([(account, HONEST, 9), (HONEST, account, 9)]);
            heard.push(15);
        }
        let voices = graph(heard.len(), &contacts).voices(&heard);
        assert!(voices[HONEST as usize..].iter().all(|voices| *voices == 0.0));
        assert!(voices[HONEST as usize - 1] > 0.2);
    }
}
