//! The Rust end of PROTOCOL.md: serves methods to the host that has started this program.
use std::collections::HashMap;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

const VERSION: u16 = 1;
const WINDOW: u32 = 1024;
const MAX_FRAME: usize = 16 << 20;
const HELLO: u8 = 1;
const LOAD: u8 = 2;
const CALL: u8 = 3;
const ANSWER: u8 = 4;
const ERROR: u8 = 5;
const CANCEL: u8 = 6;
const SHUTDOWN: u8 = 7;

pub const NOTHING: u8 = 0;
pub const BYTES: u8 = 1;
pub const JSON: u8 = 2;

/// What crosses. JSON is left as text: take the crate that you like.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    pub format: u8,
    pub bytes: Vec<u8>,
}

impl Payload {
    pub fn json(text: impl Into<String>) -> Payload {
        Payload { format: JSON, bytes: text.into().into_bytes() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// What the caller sees of a method that failed.
#[derive(Debug)]
pub struct RemoteError {
    pub code: String,
    pub message: String,
}

impl RemoteError {
    pub fn new(code: &str, message: impl Into<String>) -> RemoteError {
        RemoteError { code: code.to_string(), message: message.into() }
    }
}

/// True when nobody waits for the answer any more.
#[derive(Clone, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed) // only a hint, nothing is published with it
    }
}

pub type Method = Box<dyn Fn(Payload, &Cancelled) -> Result<Payload, RemoteError> + Send + Sync>;
/// What one load gets.
pub type Part = HashMap<String, Method>;
pub type Parts = HashMap<String, Box<dyn Fn(Payload) -> Result<Part, String>>>;

struct Shared {
    stream: UnixStream,
    running: HashMap<u32, Cancelled>,
    is_ending: bool,
}

struct Job {
    id: u32,
    name: String,
    payload: Payload,
    cancelled: Cancelled,
}

/// Runs methods on that many threads until the host wants no more. An error means that the host broke the protocol.
pub fn serve(parts: &Parts, threads: usize) -> io::Result<()> {
    let path = std::env::var_os("TS_FILTER_CALLS").ok_or_else(|| bad("TS_FILTER_CALLS is not set"))?;
    serve_on(UnixStream::connect(path)?, parts, threads)
}

pub fn serve_on(stream: UnixStream, parts: &Parts, threads: usize) -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, stream.try_clone()?);
    let shared = Arc::new(Mutex::new(Shared { stream, running: HashMap::new(), is_ending: false }));
    let hello = [&VERSION.to_be_bytes()[..], &WINDOW.to_be_bytes()[..]].concat();
    shared.lock().unwrap().write(HELLO, NOTHING, 0, &hello);
    let (jobs, taken) = channel::<Job>();
    let taken = Arc::new(Mutex::new(taken));
    let mut part: Option<Arc<Part>> = None;
    loop {
        let (kind, format, id, body) = match read(&mut input)? {
            Some(frame) => frame,
            None => break,
        };
        match kind {
            CANCEL if body.is_empty() => {
                if let Some(cancelled) = shared.lock().unwrap().running.get(&id) {
                    cancelled.0.store(true, Ordering::Relaxed); // only a hint, nothing is published with it
                }
            }
            SHUTDOWN if body.is_empty() => {
                let mut at = shared.lock().unwrap();
                at.is_ending = true;
                at.end_when_done();
            }
            LOAD if part.is_none() => {
                let (name, init) = split(format, body)?;
                let made = parts.get(&name).ok_or_else(|| format!("there is no part {name}")).and_then(|make| make(init));
                let mut at = shared.lock().unwrap();
                match made {
                    Err(why) => at.fail(0, &RemoteError::new("CALLS_LOAD_FAILED", why)),
                    Ok(made) => {
                        let made = Arc::new(made);
                        for _ in 0..threads {
                            let (part, taken, shared) = (made.clone(), taken.clone(), shared.clone());
                            thread::spawn(move || work(&part, &taken, &shared));
                        }
                        part = Some(made);
                        at.write(ANSWER, NOTHING, 0, &[]);
                    }
                }
            }
            CALL if part.is_some() => {
                let (name, payload) = split(format, body)?;
                let cancelled = Cancelled::default();
                if shared.lock().unwrap().running.insert(id, cancelled.clone()).is_some() {
                    return Err(bad("two calls have one number"));
                }
                let _ = jobs.send(Job { id, name, payload, cancelled }); // fails only when every thread has gone
            }
            _ => return Err(bad(format!("kind {kind} is not due"))),
        }
    }
    for cancelled in shared.lock().unwrap().running.values() {
        cancelled.0.store(true, Ordering::Relaxed); // only a hint, nothing is published with it
    }
    Ok(())
}

fn work(part: &Part, jobs: &Mutex<Receiver<Job>>, shared: &Mutex<Shared>) {
    loop {
        let next = jobs.lock().unwrap().recv();
        let Job { id, name, payload, cancelled } = match next {
            Ok(job) => job,
            Err(_) => return,
        };
        let run = || match part.get(&name) {
            _ if cancelled.get() => Err(RemoteError::new("CANCELLED", "cancelled")),
            None => Err(RemoteError::new("CALLS_METHOD", format!("there is no method {name}"))),
            Some(method) => match method(payload, &cancelled)? {
                large if large.bytes.len() > MAX_FRAME - 6 => {
                    Err(RemoteError::new("CALLS_TOO_LARGE", format!("the answer has {} bytes", large.bytes.len())))
                }
                answer => Ok(answer),
            },
        };
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(RemoteError::new("FAILED", "it panicked")));
        let mut at = shared.lock().unwrap();
        at.running.remove(&id);
        match result {
            Ok(answer) => at.write(ANSWER, answer.format, id, &answer.bytes),
            Err(error) => at.fail(id, &error),
        }
        at.end_when_done();
    }
}

impl Shared {
    /// Where nobody is there any more, the reader sees it, too.
    fn write(&mut self, kind: u8, format: u8, id: u32, body: &[u8]) {
        let length = (6 + body.len()) as u32;
        let frame = [&length.to_be_bytes()[..], &[kind, format], &id.to_be_bytes(), body].concat();
        let _ = self.stream.write_all(&frame);
    }

    fn fail(&mut self, id: u32, error: &RemoteError) {
        let message = error.message.as_bytes();
        let message = &message[..message.len().min(65536)];
        self.write(ERROR, BYTES, id, &[&[error.code.len() as u8], error.code.as_bytes(), message].concat());
    }

    fn end_when_done(&mut self) {
        if self.is_ending && self.running.is_empty() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.into())
}

type Frame = (u8, u8, u32, Vec<u8>);

fn read(input: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; 10];
    if input.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut head[1..])?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = word(0) as usize;
    if !(6..=MAX_FRAME).contains(&length) || head[5] > JSON {
        return Err(bad(format!("not a frame: length {length}, format {}", head[5])));
    }
    let mut body = vec![0; length - 6];
    input.read_exact(&mut body)?;
    Ok(Some((head[4], head[5], word(6), body)))
}

fn split(format: u8, body: Vec<u8>) -> io::Result<(String, Payload)> {
    let end = 1 + body.first().map_or(0, |&length| length as usize);
    let name = body.get(1..end).ok_or_else(|| bad("a name is longer than its frame"))?;
    let name = String::from_utf8(name.to_vec()).map_err(|_| bad("a name is not UTF-8"))?;
    Ok((name, Payload { format, bytes: body[end..].to_vec() }))
}
