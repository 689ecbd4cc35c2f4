//! The demo's runtime: gives back what it is given.
use std::collections::HashMap;
use ts_filter_calls::{serve, Method, Payload, Parts};

fn main() -> std::io::Result<()> {
    let mut parts: Parts = HashMap::new();
    parts.insert(
        "echo".into(),
        Box::new(|init: Payload| {
            eprintln!("echo: loaded with {}", init.text());
            let echo: Method = Box::new(|text, _| Ok(text));
            Ok(HashMap::from([("echo".to_string(), echo)]))
        }),
    );
    serve(&parts, 16)
}
