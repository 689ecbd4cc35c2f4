//! What the conformance suite asks of a runtime in Rust.
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::{Relaxed, SeqCst}};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use ts_filter_calls::{serve, Cancelled, Method, Part, Parts, Payload, RemoteError, BYTES, NOTHING};

fn method(f: impl Fn(Payload, &Cancelled) -> Result<Payload, RemoteError> + Send + Sync + 'static) -> Method {
    Box::new(f)
}

fn number(payload: &Payload) -> u64 {
    payload.text().parse().unwrap_or(0)
}

fn conformance(init: Payload) -> Part {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let nothing = Payload { format: NOTHING, bytes: vec![] };
    HashMap::from([
        ("init".to_string(), method(move |_, _| Ok(init.clone()))),
        ("echo".to_string(), method(|payload, _| Ok(payload))),
        ("fail".to_string(), method(|_, _| Err(RemoteError::new("NOPE", "no: ä€😀")))),
        ("crash".to_string(), method(|_, _| panic!("as it comes"))),
        (
            "size".to_string(),
            method(|payload, _| Ok(Payload { format: BYTES, bytes: vec![b'x'; number(&payload) as usize] })),
        ),
        (
            "sleep".to_string(),
            method(move |payload, cancelled| {
                let until = Instant::now() + Duration::from_millis(number(&payload));
                while Instant::now() < until {
                    if cancelled.load(Relaxed) {
                        count.fetch_add(1, SeqCst);
                        break;
                    }
                    sleep(Duration::from_millis(1));
                }
                Ok(payload)
            }),
        ),
        ("cancelled".to_string(), method(move |_, _| Ok(Payload::json(counted.load(SeqCst).to_string())))),
        (
            "hang".to_string(),
            method(move |payload, _| {
                sleep(Duration::from_millis(number(&payload)));
                Ok(nothing.clone())
            }),
        ),
        ("exit".to_string(), method(|_, _| std::process::exit(3))),
    ])
}

fn main() -> std::io::Result<()> {
    let mut parts: Parts = HashMap::new();
    parts.insert("conformance".into(), Box::new(|init| Ok(conformance(init))));
    parts.insert("bad".into(), Box::new(|_| Err("bad init".into())));
    serve(&parts, 64)
}
