//! The Rust end of PROTOCOL.md: serves methods to the host that has started this program.
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{mpsc, Arc, Mutex};
use std::{collections::HashMap, net::Shutdown, panic, thread};

/// Version 1 (u16), a window of 1024 (u32).
const HELLO_BODY: [u8; 6] = [0, 1, 0, 0, 4, 0];
const MAX_FRAME: usize = 16 << 20;
#[rustfmt::skip]
mod kind {
    pub const HELLO: u8 = 1; pub const LOAD: u8 = 2; pub const CALL: u8 = 3; pub const ANSWER: u8 = 4;
    pub const ERROR: u8 = 5; pub const CANCEL: u8 = 6; pub const SHUTDOWN: u8 = 7;
}

/// What the bytes of a Payload are.
pub const NOTHING: u8 = 0;
pub const BYTES: u8 = 1;
pub const JSON: u8 = 2;

/// What crosses. JSON is left as text: take the crate that you like.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload { pub format: u8, pub bytes: Vec<u8> }

impl Payload {
    pub fn json(text: impl Into<String>) -> Payload {
        Payload { format: JSON, bytes: text.into().into_bytes() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// What the caller sees of a method that failed.
pub struct RemoteError { pub code: String, pub message: String }

impl RemoteError {
    pub fn new(code: &str, message: impl Into<String>) -> RemoteError {
        RemoteError { code: code.to_string(), message: message.into() }
    }
}

/// True (`load(Relaxed)`) when nobody waits for the answer any more: a hint, with which nothing is published.
pub type Cancelled = Arc<AtomicBool>;
pub type Answer = Result<Payload, RemoteError>;
pub type Method = Box<dyn Fn(Payload, &Cancelled) -> Answer + Send + Sync>;
/// What one load gets.
pub type Part = HashMap<String, Method>;
pub type Parts = HashMap<String, Box<dyn Fn(Payload) -> Result<Part, String>>>;

/// Runs methods on that many threads until the host wants no more. An error means that the host broke the protocol.
pub fn serve(parts: &Parts, threads: usize) -> io::Result<()> {
    let path = std::env::var_os("TS_FILTER_CALLS").ok_or_else(|| bad("TS_FILTER_CALLS is not set"))?;
    serve_on(UnixStream::connect(path)?, parts, threads)
}

pub fn serve_on(stream: UnixStream, parts: &Parts, threads: usize) -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, stream.try_clone()?);
    let output = Arc::new(Mutex::new(Output { stream, running: HashMap::new(), is_ending: false }));
    output.lock().unwrap().write(kind::HELLO, NOTHING, 0, &HELLO_BODY);
    let mut jobs = None;
    while let Some((kind, format, id, body)) = read(&mut input)? {
        match (kind, &jobs) {
            (kind::CANCEL, _) if body.is_empty() => output.lock().unwrap().cancel(|running| running == id),
            (kind::SHUTDOWN, _) if body.is_empty() => output.lock().unwrap().end(),
            (kind::LOAD, None) => {
                let (name, init) = split(format, body)?;
                let made = parts.get(&name).ok_or_else(|| format!("there is no part {name}")).and_then(|make| make(init));
                let loaded = made.map(|part| jobs = Some(start(part, threads, &output)));
                let answer = loaded.map(|()| Payload { format: NOTHING, bytes: vec![] });
                output.lock().unwrap().answer(0, answer.map_err(|why| RemoteError::new("CALLS_LOAD_FAILED", why)));
            }
            (kind::CALL, Some(jobs)) => {
                let (name, payload) = split(format, body)?;
                let cancelled = Cancelled::default();
                if output.lock().unwrap().running.insert(id, cancelled.clone()).is_some() {
                    return Err(bad("two calls have one number"));
                }
                let _ = jobs.send((id, name, payload, cancelled)); // fails only when every thread has gone
            }
            _ => return Err(bad(format!("kind {kind} is not due"))),
        }
    }
    output.lock().unwrap().cancel(|_| true);
    Ok(())
}

type Job = (u32, String, Payload, Cancelled);

fn start(part: Part, threads: usize, output: &Arc<Mutex<Output>>) -> mpsc::Sender<Job> {
    let (jobs, taken) = mpsc::channel::<Job>();
    let (part, taken) = (Arc::new(part), Arc::new(Mutex::new(taken)));
    for _ in 0..threads {
        let (part, taken, output) = (part.clone(), taken.clone(), output.clone());
        thread::spawn(move || {
            let next = || taken.lock().unwrap().recv();
            while let Ok((id, name, payload, cancelled)) = next() {
                let answer = panic::catch_unwind(panic::AssertUnwindSafe(|| call(&part, &name, payload, &cancelled)));
                output.lock().unwrap().answer(id, answer.unwrap_or_else(|_| Err(RemoteError::new("FAILED", "it panicked"))));
            }
        });
    }
    jobs
}

fn call(part: &Part, name: &str, payload: Payload, cancelled: &Cancelled) -> Answer {
    let method = part.get(name).ok_or_else(|| RemoteError::new("CALLS_METHOD", format!("there is no method {name}")))?;
    if cancelled.load(Relaxed) {
        return Err(RemoteError::new("CANCELLED", "cancelled"));
    }
    let answer = method(payload, cancelled)?;
    if answer.bytes.len() > MAX_FRAME - 6 {
        return Err(RemoteError::new("CALLS_TOO_LARGE", format!("the answer has {} bytes", answer.bytes.len())));
    }
    Ok(answer)
}

struct Output { stream: UnixStream, running: HashMap<u32, Cancelled>, is_ending: bool }

impl Output {
    /// Where nobody is there any more, the reader sees it, too.
    fn write(&mut self, kind: u8, format: u8, id: u32, body: &[u8]) {
        let length = (6 + body.len()) as u32;
        let _ = self.stream.write_all(&[&length.to_be_bytes()[..], &[kind, format], &id.to_be_bytes(), body].concat());
    }

    fn answer(&mut self, id: u32, answer: Answer) {
        self.running.remove(&id);
        match answer {
            Ok(payload) => self.write(kind::ANSWER, payload.format, id, &payload.bytes),
            Err(RemoteError { code, message }) => {
                let text = &message.as_bytes()[..message.len().min(65536)];
                self.write(kind::ERROR, BYTES, id, &[&[code.len() as u8], code.as_bytes(), text].concat());
            }
        }
        let _ = self.is_ending.then(|| self.end());
    }

    fn cancel(&self, which: impl Fn(u32) -> bool) {
        self.running.iter().filter(|(id, _)| which(**id)).for_each(|(_, cancelled)| cancelled.store(true, Relaxed));
    }

    /// When everything is answered.
    fn end(&mut self) {
        self.is_ending = true;
        if self.running.is_empty() {
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
    Ok((String::from_utf8(name.to_vec()).map_err(|_| bad("a name is not UTF-8"))?, Payload { format, bytes: body[end..].to_vec() }))
}
