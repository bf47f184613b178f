//! An agent that answers from a table and remembers what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::Value;

use crate::directory::Directory;

/// Method and path, status, body.
type Answer = (String, u16, String);

/// Method and path, and the body where there was one.
type Question = (String, Value);

/// Lives as long as the value.
pub(crate) struct Agent {
    directory: Directory,
    answers: Vec<Answer>,
}

impl Agent {
    pub(crate) fn new() -> Self {
        Self { directory: Directory::new(), answers: Vec::new() }
    }

    /// Answers `question`, a method and a path, with `body`.
    pub(crate) fn ok(self, question: &str, body: &impl Serialize) -> Self {
        self.answer(question, 200, body)
    }

    /// Answers it with an error.
    pub(crate) fn refusal(self, question: &str, status: u16, error: &str) -> Self {
        self.answer(question, status, &serde_json::json!({ "errors": [error] }))
    }

    fn answer(mut self, question: &str, status: u16, body: &impl Serialize) -> Self {
        self.answers.push((question.to_owned(), status, serde_json::to_string(body).expect("JSON")));
        self
    }

    /// Begins to listen.
    pub(crate) fn start(self) -> Listening {
        let socket = self.directory.path().join("weft.sock");
        let listener = UnixListener::bind(&socket).expect("listen");
        let questions = Arc::new(Mutex::new(Vec::new()));
        let (asked, answers) = (questions.clone(), self.answers);
        // It ends with the process: nobody calls any more.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                converse(&stream.expect("be called"), &answers, &asked);
            }
        });
        Listening { _directory: self.directory, socket, questions }
    }
}

/// An agent that can be called.
pub(crate) struct Listening {
    _directory: Directory,
    pub(crate) socket: PathBuf,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl Listening {
    /// What it was asked.
    pub(crate) fn questions(&self) -> Vec<Question> {
        self.questions.lock().expect("unharmed").clone()
    }
}

fn converse(stream: &UnixStream, answers: &[Answer], asked: &Mutex<Vec<Question>>) {
    let (question, body) = take(stream);
    let answer = answers.iter().find(|(known, ..)| *known == question);
    asked.lock().expect("unharmed").push((question.clone(), body));
    let unknown = (String::new(), 500, format!(r#"{{"errors":["the test has no answer to {question}"]}}"#));
    let (_, status, text) = answer.unwrap_or(&unknown);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    let mut stream = stream;
    stream.write_all((head + text).as_bytes()).expect("answer");
}

fn take(stream: &UnixStream) -> Question {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    };
    let question = line().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<String> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    reader.read_exact(&mut body).expect("the whole body");
    (question, serde_json::from_slice(&body).unwrap_or_default())
}
