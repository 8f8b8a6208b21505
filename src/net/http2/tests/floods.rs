//! Frames that cost a client little and a server much.

use super::raw::{PREFACE, Raw};
use super::{Served, run, serve, settle};
use crate::net::service::Refusal;

const ENHANCE_YOUR_CALM: u32 = 11;
const RST_STREAM: u8 = 3;

/// Sends `flood` over and over while reading what comes back, until the connection ends with a GOAWAY; its code.
async fn flood(flood: impl Fn(u32) -> Vec<u8> + 'static) -> (u32, Served) {
    let (near, served) = serve();
    let (read, mut write) = tokio::io::split(near);
    let sending = tokio::task::spawn_local(async move {
        let begin = [PREFACE, &Raw::frame(4, 0, 0, &[])].concat();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut write, &begin).await;
        for turn in 0..200_000 {
            if tokio::io::AsyncWriteExt::write_all(&mut write, &flood(turn)).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    });
    let mut raw = Raw::new(read);
    let code = raw.goaway().await;
    sending.abort();
    (code, served)
}

#[test]
fn floods_of_control_frames_end_the_connection() {
    let floods: [(&str, Vec<u8>); 6] = [
        ("PING", Raw::frame(6, 0, 0, &[0; 8])),
        ("SETTINGS", Raw::frame(4, 0, 0, &[])),
        ("PRIORITY", Raw::frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown", Raw::frame(0x20, 0, 0, &[1, 2, 3])),
        ("WINDOW_UPDATE", Raw::frame(8, 0, 0, &[0, 0, 0, 1])),
        ("RST_STREAM", Raw::frame(3, 0, 1, &[0, 0, 0, 8])),
    ];
    for (name, frame) in floods {
        run(async {
            let first = [Raw::headers(1, 0x5, &Raw::get("/early")), frame.clone()].concat();
            let (code, served) = flood(move |turn| if turn == 0 { first.clone() } else { frame.clone() }).await;
            assert_eq!(code, ENHANCE_YOUR_CALM, "{name}");
            served.over.await.unwrap();
            assert_eq!(served.service.refused.borrow().len(), 1, "{name}: it is told");
            assert!(matches!(served.service.refused.borrow()[0], Refusal::Head(_)));
        });
    }
}

#[test]
fn a_flood_of_empty_data_ends_the_connection() {
    run(async {
        let first = Raw::headers(1, 0x4, &Raw::get("/"));
        let (code, _served) = flood(move |turn| if turn == 0 { first.clone() } else { Raw::frame(0, 0, 1, &[]) }).await;
        assert_eq!(code, ENHANCE_YOUR_CALM);
    });
}

#[test]
fn a_flood_of_tiny_data_that_nobody_reads_ends_the_connection() {
    run(async {
        let first = Raw::headers(1, 0x4, &Raw::get("/hold"));
        let (code, _served) =
            flood(move |turn| if turn == 0 { first.clone() } else { Raw::frame(0, 0, 1, b"x") }).await;
        assert_eq!(code, ENHANCE_YOUR_CALM);
    });
}

#[test]
fn requests_that_are_reset_at_once_end_the_connection() {
    run(async {
        let (code, served) = flood(|turn| {
            let stream = 2 * turn + 1;
            [Raw::headers(stream, 0x5, &Raw::get("/hang")), Raw::frame(3, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .await;
        assert_eq!(code, ENHANCE_YOUR_CALM);
        served.over.await.unwrap();
        let asked = served.service.asked.borrow().len();
        assert!(asked <= 600, "{asked} requests were begun");
        assert_eq!(asked, *served.service.dropped.borrow(), "and none goes on");
    });
}

#[test]
fn requests_that_are_reset_a_little_later_end_the_connection() {
    run(async {
        let (near, served) = serve();
        let mut raw = Raw::begin(near).await;
        for turn in 0..2000 {
            let stream = 2 * turn + 1;
            raw.send(&Raw::headers(stream, 0x5, &Raw::get("/hang"))).await;
            settle().await;
            raw.send(&Raw::frame(3, 0, stream, &[0, 0, 0, 8])).await;
        }
        assert_eq!(raw.goaway().await, ENHANCE_YOUR_CALM);
        served.over.await.unwrap();
        let asked = served.service.asked.borrow().len();
        assert!((500..1500).contains(&asked), "{asked} requests were begun");
    });
}

#[test]
fn a_flood_of_continuations_ends_the_connection() {
    run(async {
        let first = Raw::headers(1, 0x1, &Raw::get("/"));
        let (code, served) = flood(move |turn| if turn == 0 { first.clone() } else { Raw::frame(9, 0, 1, &[]) }).await;
        assert_eq!(code, ENHANCE_YOUR_CALM);
        assert!(served.service.asked.borrow().is_empty());
    });
}

#[test]
fn header_fields_far_beyond_the_limit_end_the_connection() {
    run(async {
        let first = Raw::headers(1, 0x1, &Raw::get("/"));
        let more = Raw::block(&[("x-padding", &*"y".repeat(100)); 100]);
        let (code, _served) =
            flood(move |turn| if turn == 0 { first.clone() } else { Raw::frame(9, 0, 1, &more) }).await;
        assert_eq!(code, ENHANCE_YOUR_CALM);
    });
}

#[test]
fn a_compressed_head_does_not_grow_beyond_the_limit() {
    run(async {
        let (near, served) = serve();
        let mut raw = Raw::begin(near).await;
        // One field of 100 bytes that goes into the table, and then a byte for each of its repetitions.
        let field = [vec![0x40, 1, b'x', 100], vec![b'y'; 100], vec![0x80 | 62; 10_000]].concat();
        raw.send(&Raw::frame(1, 0x5, 1, &[Raw::block(&Raw::get("/")), field].concat())).await;
        assert_eq!(raw.goaway().await, ENHANCE_YOUR_CALM);
        assert!(served.service.asked.borrow().is_empty());
    });
}

#[test]
fn streams_beyond_the_limit_are_refused_one_by_one() {
    run(async {
        let (near, served) = serve();
        let mut raw = Raw::begin(near).await;
        for turn in 0..140 {
            raw.send(&Raw::headers(2 * turn + 1, 0x5, &Raw::get("/hang"))).await;
        }
        let refused = raw.next_of(RST_STREAM).await.unwrap();
        assert_eq!((refused.stream, &*refused.payload), (2 * 128 + 1, &[0, 0, 0, 7][..]), "REFUSED_STREAM");
        assert_eq!(served.service.asked.borrow().len(), 128);
    });
}

#[test]
fn a_window_beyond_its_range_ends_the_connection() {
    run(async {
        let (near, served) = serve();
        let mut raw = Raw::begin(near).await;
        for _ in 0..2 {
            raw.send(&Raw::frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])).await;
        }
        assert_eq!(raw.goaway().await, 3, "FLOW_CONTROL_ERROR");
        served.over.await.unwrap();
        assert_eq!(served.service.refused.borrow().len(), 1, "it is told");
    });
}
