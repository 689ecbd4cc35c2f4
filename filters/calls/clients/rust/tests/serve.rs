use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{sleep, spawn, JoinHandle};
use std::time::Duration;
use ts_filter_calls::{serve_on, Method, Parts};

struct Peer {
    stream: UnixStream,
    ended: JoinHandle<io::Result<()>>,
}

impl Peer {
    fn start() -> Peer {
        let (ours, stream) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let ended = spawn(move || {
            let mut parts: Parts = HashMap::new();
            parts.insert(
                "part".into(),
                Box::new(|_| {
                    let echo: Method = Box::new(|payload, _| Ok(payload));
                    let wait: Method = Box::new(|payload, cancelled| {
                        while !cancelled.load(Relaxed) {
                            sleep(Duration::from_millis(1));
                        }
                        Ok(payload)
                    });
                    Ok(HashMap::from([("echo".to_string(), echo), ("wait".to_string(), wait)]))
                }),
            );
            serve_on(ours, &parts, 2)
        });
        let mut peer = Peer { stream, ended };
        peer.expect(1, 0, 0, &[0, 1, 0, 0, 4, 0]);
        peer.send(2, 0, 0, b"\x04part");
        peer.expect(4, 0, 0, b"");
        peer
    }

    fn send(&mut self, kind: u8, format: u8, id: u32, body: &[u8]) {
        let length = (6 + body.len()) as u32;
        let frame = [&length.to_be_bytes()[..], &[kind, format], &id.to_be_bytes(), body].concat();
        self.stream.write_all(&frame).unwrap();
    }

    fn expect(&mut self, kind: u8, format: u8, id: u32, body: &[u8]) {
        let mut head = [0; 10];
        self.stream.read_exact(&mut head).unwrap();
        let mut rest = vec![0; u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize - 6];
        self.stream.read_exact(&mut rest).unwrap();
        let number = u32::from_be_bytes([head[6], head[7], head[8], head[9]]);
        assert_eq!((head[4], head[5], number, &rest[..]), (kind, format, id, body));
    }
}

#[test]
fn answers_calls() {
    let mut peer = Peer::start();
    peer.send(3, 1, 7, b"\x04echo\x00\xff");
    peer.expect(4, 1, 7, b"\x00\xff");
    peer.send(3, 1, 8, b"\x04elsewhere");
    peer.expect(5, 1, 8, b"\x0cCALLS_METHODthere is no method else");
}

#[test]
fn cancels_and_shuts_down() {
    let mut peer = Peer::start();
    peer.send(3, 0, 1, b"\x04wait");
    sleep(Duration::from_millis(50));
    peer.send(7, 0, 0, b"");
    peer.send(6, 0, 1, b"");
    peer.expect(4, 0, 1, b"");
    peer.ended.join().unwrap().unwrap();
}

#[test]
fn ends_with_its_connection() {
    let mut peer = Peer::start();
    peer.send(3, 0, 1, b"\x04wait");
    drop(peer.stream);
    peer.ended.join().unwrap().unwrap();
}

#[test]
fn ends_at_what_is_no_frame() {
    let mut peer = Peer::start();
    peer.send(99, 0, 0, b"");
    assert!(peer.ended.join().unwrap().is_err());
}
