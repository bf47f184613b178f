//! One of many who call ADD and DEL for their container, again and again, as runtimes do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use serde_json::json;
use weft_lab::Host;
use weft_tests::{Answer, Call, Dice, until};

use super::book::Book;

/// The interface exists (100), and its address is another's (102): all that callers who get in each other's way hear.
const IN_THE_WAY: [u64; 2] = [100, 102];
/// One call in so many goes by the shim, the others straight to the socket.
const BY_SHIM: u64 = 3;

/// What all callers share.
pub(super) struct Storm<'h> {
    pub(super) host: &'h Host,
    pub(super) book: Book,
    pub(super) over: AtomicBool,
    pub(super) calls: AtomicUsize,
    /// Whether the agent is killed now and then.
    pub(super) agent_dies: bool,
}

/// A container and the one who calls for it, perhaps with others.
pub(super) struct Caller<'s> {
    pub(super) storm: &'s Storm<'s>,
    pub(super) container: String,
    pub(super) network: &'static str,
    /// Addresses to ask for now and then.
    pub(super) wanted: Vec<String>,
    pub(super) is_alone: bool,
    pub(super) dice: Dice,
    /// Hears of every call before it is made.
    pub(super) bell: Sender<()>,
}

impl Caller<'_> {
    /// Calls until the storm is over.
    pub(super) fn run(mut self) {
        while !self.storm.over.load(Ordering::Relaxed) {
            self.add();
            self.del();
        }
    }

    fn add(&mut self) {
        let mut call = self.call("ADD");
        let asks = self.dice.once_in(4);
        if asks {
            let wanted = &self.wanted[self.dice.below(self.wanted.len() as u64) as usize];
            call = call.env("CNI_ARGS", &format!("IP={wanted}"));
        }
        let ticket = self.storm.book.begin_birth(&self.container);
        let answer = self.put(&call);
        if answer.ok {
            self.storm.book.finish_birth(&self.container, &ticket, &answer.addresses());
            self.look_back(&answer);
        } else if !self.is_agent_dead(&answer) {
            let expected = if self.is_alone { asks && answer.code() == Some(102) } else { self.is_in_the_way(&answer) };
            self.expect(expected, &call, &answer);
        }
    }

    /// Once born, a container is found to be so, and is not born again.
    fn look_back(&mut self, result: &Answer) {
        if !self.is_alone {
            return;
        }
        let check = self.call("CHECK").with("prevResult", result.output.clone());
        let answer = self.put(&check);
        self.expect(answer.ok || self.is_agent_dead(&answer), &check, &answer);
        if self.dice.once_in(4) {
            let again = self.call("ADD");
            let answer = self.put(&again);
            self.expect(answer.code() == Some(100) || self.is_agent_dead(&answer), &again, &answer);
        }
    }

    /// Once or twice; whoever is not answered asks again.
    fn del(&mut self) {
        let call = self.call("DEL");
        self.storm.book.begin_death(&self.container);
        for _ in 0..=self.dice.below(2) {
            until("DEL is answered", || {
                let answer = self.put(&call);
                self.expect(answer.ok || self.is_agent_dead(&answer), &call, &answer);
                answer.ok.then_some(())
            });
        }
        self.storm.book.finish_death(&self.container);
    }

    fn call(&self, command: &str) -> Call {
        Call::new(command, &self.container, self.network)
    }

    fn put(&mut self, call: &Call) -> Answer {
        self.storm.calls.fetch_add(1, Ordering::Relaxed);
        // Nobody listens where the agent is left alone.
        let _ = self.bell.send(());
        if self.dice.once_in(BY_SHIM) { call.run(self.storm.host) } else { call.ask(self.storm.host) }
    }

    fn is_agent_dead(&self, answer: &Answer) -> bool {
        self.storm.agent_dies && answer.is_away()
    }

    fn is_in_the_way(&self, answer: &Answer) -> bool {
        answer.code().is_some_and(|code| IN_THE_WAY.contains(&code))
    }

    fn expect(&self, is_right: bool, call: &Call, answer: &Answer) {
        if !is_right {
            let sight = json!({"ok": answer.ok, "output": answer.output, "log": answer.log});
            self.storm.book.fault(format!("{call:?}: {sight}"));
        }
    }
}
