//! nginx as the backend and curl as the client: what the raw ones of the other tests cannot know to do.

use std::fs;

use super::{Setup, request};
use crate::harness::curl::curl;
use crate::harness::nginx::Nginx;

/// Bytes in which no two places look alike.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length).map(|_| next().to_le_bytes()[0]).collect()
}

#[test]
fn files_arrive_as_they_are() {
    let nginx = Nginx::start("if_modified_since before;");
    let content = noise(5_000_000);
    fs::write(nginx.root().join("file"), &content).unwrap();
    let gateway = Setup::PLAIN.start(&[nginx.address]);
    let url = format!("http://{}/file", gateway.address());

    let whole = curl(&[&url]);
    assert!(whole.status == 200 && whole.body == content);
    let part = curl(&["--range", "1000-1999", &url]);
    assert!(part.status == 206 && part.body == content[1000..2000]);
    assert_eq!(curl(&["--header", "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT", &url]).status, 304);
    assert_eq!(curl(&[&format!("{url}-missing")]).status, 404);
}

#[test]
fn uploads_arrive_as_they_are() {
    let nginx = Nginx::start("location /up { client_body_in_file_only on; proxy_pass http://127.0.0.1:1; }");
    let gateway = Setup::PLAIN.start(&[nginx.address]);
    let content = noise(5_000_000);
    let file = gateway.directory().join("upload");
    fs::write(&file, &content).unwrap();
    let data = format!("@{}", file.display());
    let url = format!("http://{}/up", gateway.address());
    for framing in ["Content-Length: 5000000", "Transfer-Encoding: chunked"] {
        // nginx keeps the body in a file of its own and then has nowhere to send it.
        let answer = curl(&["--data-binary", &data, "--header", framing, &url]);
        assert_eq!(answer.status, 502);
        let kept: Vec<_> =
            fs::read_dir(nginx.root().join("body")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [kept] = &kept[..] else { panic!("one body: {kept:?}") };
        assert!(fs::read(kept).unwrap() == content, "{framing}");
        fs::remove_file(kept).unwrap();
    }
}

#[test]
fn nginx_keeps_its_connections_open() {
    let nginx = Nginx::start("location / { return 200 $connection.$connection_requests; }");
    let gateway = Setup::PLAIN.start(&[nginx.address]);
    let answers: Vec<String> = (0..3).map(|_| gateway.ask(request("GET", "/a")).text()).collect();
    let (connection, _) = answers[0].split_once('.').unwrap();
    assert_eq!(answers, [1, 2, 3].map(|turn| format!("{connection}.{turn}")));
}
