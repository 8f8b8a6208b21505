//! An issuer that comes and goes, in simulated time: what serves meanwhile, how often it is asked, and who is told.

mod world;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use self::world::{Answer, HOUR, URI, World, config, jwks, serving, simulated};
use super::*;
use crate::clock;
use crate::live::state::Generation;

#[test]
fn an_issuer_that_is_down_for_a_day_is_not_missed() {
    simulated(async {
        let world = World::new(&format!("{URI}, max_stale: 48h"), serving(&["one"]));
        world.has(&["one"]).await;
        world.behave(|_| Answer::Status(500));
        world.forget();
        let number = world.number();
        for _ in 0..24 * 60 {
            sleep(Duration::from_secs(60)).await;
            assert_eq!((world.ids(), world.number()), (vec!["one".to_owned()], number));
        }
        let fetches = world.asked().len();
        assert!((24 * 60..25 * 70).contains(&fetches), "{fetches} fetches in a day");
        let known = world.known();
        assert!(known.good.unwrap().age(clock::timer()) >= 24 * HOUR);
        assert_eq!(known.last_refresh.unwrap().error.as_deref(), Some("the answer has status 500"));

        world.behave(serving(&["two"]));
        world.has(&["two"]).await;
        assert!(world.known().good.unwrap().age(clock::timer()) < Duration::from_secs(1));
        assert!(world.known().last_refresh.unwrap().error.is_none());
    });
}

#[test]
fn keys_that_are_too_old_serve_no_more_until_the_issuer_is_back() {
    simulated(async {
        let world = World::new(&format!("{URI}, max_stale: 1h"), serving(&["one"]));
        world.has(&["one"]).await;
        let began = clock::timer();
        world.behave(|_| Answer::Hang);
        world.has(&[]).await;
        let served = clock::timer() - began;
        assert!((HOUR - Duration::from_secs(1)..HOUR + Duration::from_secs(20)).contains(&served), "{served:?}");
        world.reload(&format!("{URI}, max_stale: 1h"));
        assert_eq!(world.ids(), [""; 0], "a reload does not bring them back");
        world.behave(serving(&["one"]));
        world.has(&["one"]).await;
    });
}

#[test]
fn ten_thousand_unknown_keys_are_one_fetch_in_ten_seconds() {
    simulated(async {
        let world = World::new(URI, serving(&["one"]));
        world.has(&["one"]).await;
        world.forget();
        let (number, mut said) = (world.number(), [0; 3]);
        for _ in 0..10_000 {
            said[world.refresh.ask("a").await as usize] += 1;
            sleep(Duration::from_millis(5)).await;
        }
        let asked: Vec<Instant> = world.asked().into_iter().map(|(at, _)| at).collect();
        assert!((5..=6).contains(&asked.len()), "{} fetches in 50 s", asked.len());
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(10)), "{asked:?}");
        assert!(said[Refreshed::Done as usize] >= asked.len() && said[Refreshed::Busy as usize] == 0, "{said:?}");
        assert_eq!(world.number(), number, "the same keys are not put in force again");
    });
}

#[test]
fn all_who_ask_share_a_fetch_and_see_what_it_brought() {
    simulated(async {
        let world = Rc::new(World::new(URI, serving(&["one"])));
        world.has(&["one"]).await;
        world.forget();
        let keys = jwks(&["one", "two"]);
        world.behave(move |_| Answer::Slow(Duration::from_secs(2), keys.clone()));
        let asking: Vec<_> = (0..1000)
            .map(|number| {
                let world = Rc::clone(&world);
                tokio::task::spawn_local(async move {
                    sleep(Duration::from_millis(number)).await;
                    (world.refresh.ask("a").await, world.ids().len())
                })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.unwrap(), (Refreshed::Done, 2));
        }
        assert_eq!(world.asked().len(), 1);
        assert_eq!(world.refresh.ask("nobody").await, Refreshed::NotNow);
    });
}

#[test]
fn a_thousand_rotations_are_a_thousand_fetches_that_requests_ask_for() {
    simulated(async {
        let world = World::new(&format!("{URI}, refresh: 24h, max_stale: 72h"), serving(&["first"]));
        world.has(&["first"]).await;
        world.forget();
        let mut old = "first".to_owned();
        for number in 0..1000 {
            let new = format!("key-{number}");
            let keys = jwks(&[&old, &new]);
            world.behave(move |_| Answer::Slow(Duration::from_millis(200), keys.clone()));
            assert_eq!(world.refresh.ask("a").await, Refreshed::Done);
            assert_eq!(world.ids(), [old, new.clone()]);
            old = new;
            sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(world.asked().len(), 1000);
    });
}

#[test]
fn who_asks_during_a_fetch_that_was_due_gets_a_later_one() {
    simulated(async {
        let old = jwks(&["one"]);
        let slow = Duration::from_secs(1);
        let world = World::new(URI, move |_| Answer::Slow(slow, old.clone()));
        world.has(&["one"]).await;
        // The next one that is due begins some time between 270 and 300 seconds from now.
        while world.asked().len() < 2 {
            sleep(Duration::from_millis(100)).await;
        }
        // It reads the old keys; the new ones come into being behind its back.
        world.behave(serving(&["one", "two"]));
        assert_eq!((world.refresh.ask("a").await, world.ids().len()), (Refreshed::Done, 2));
    });
}

#[test]
fn keys_are_awaited_for_as_long_as_it_takes_and_no_longer_than_that() {
    simulated(async {
        let began = clock::timer();
        let world = World::new(URI, |_| Answer::Status(500));
        assert!(!await_all(&world.live, Duration::from_secs(30)).await);
        assert_eq!(clock::timer() - began, Duration::from_secs(30));
        world.behave(serving(&["one"]));
        assert!(await_all(&world.live, HOUR).await);
        assert!(clock::timer() - began < Duration::from_secs(30 + 60));
    });
}

#[test]
fn bad_answers_replace_nothing() {
    simulated(async {
        let world = World::new(&format!("{URI}, refresh: 1s"), serving(&["one"]));
        world.has(&["one"]).await;
        let number = world.number();
        for (answer, result) in [
            (Answer::Status(404), "status"),
            (Answer::Hang, "timeout"),
            (Answer::Body("<html>".into()), "invalid"),
            (Answer::Body(r#"{"keys":[]}"#.into()), "invalid"),
            (Answer::Body(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#.into()), "invalid"),
        ] {
            world.behave(move |_| answer.clone());
            sleep(Duration::from_secs(60)).await;
            assert_eq!((world.ids(), world.number()), (vec!["one".to_owned()], number));
            assert_eq!(world.counted.borrow().last(), Some(&("a".to_owned(), result)));
            assert!(world.known().last_refresh.unwrap().error.is_some_and(|error| !error.contains("c2VjcmV0")));
        }
        assert_eq!(world.counted.borrow().first().unwrap().1, "success");
    });
}

#[test]
fn keys_are_found_by_either_metadata_and_found_again() {
    simulated(async {
        let at = |issuer: &'static str, jwks_uri: &'static str| {
            Answer::Body(json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string())
        };
        let world = World::new("refresh: 1s", move |path| match path {
            "/.well-known/openid-configuration" => Answer::Status(404),
            "/.well-known/oauth-authorization-server" => at("https://a.example", "https://a.example/first"),
            "/first" => Answer::Body(jwks(&["one"])),
            _ => Answer::Status(404),
        });
        world.has(&["one"]).await;
        let paths = |world: &World| world.asked().into_iter().map(|(_, path)| path).collect::<Vec<_>>();
        assert_eq!(paths(&world).last().unwrap(), "/first");
        world.forget();
        sleep(Duration::from_secs(10)).await;
        assert!(paths(&world).iter().all(|path| path == "/first"), "what was found is remembered");

        world.behave(move |path| match path {
            "/.well-known/openid-configuration" => at("https://a.example", "https://a.example/second"),
            "/second" => Answer::Body(jwks(&["two"])),
            _ => Answer::Status(404),
        });
        world.has(&["two"]).await;

        world.behave(move |path| match path {
            "/second" => Answer::Status(500),
            "/.well-known/openid-configuration" => at("https://b.example", "https://b.example/keys"),
            "/keys" => Answer::Body(jwks(&["three"])),
            _ => Answer::Status(404),
        });
        sleep(Duration::from_secs(60)).await;
        assert_eq!(world.ids(), ["two"], "another issuer's metadata leads nowhere");
        let error = world.known().last_refresh.unwrap().error.unwrap();
        assert!(error.contains("another issuer") && error.contains("status 404"), "{error}");
        assert!(!paths(&world).contains(&"/keys".to_owned()));
    });
}

#[test]
fn max_age_shortens_the_time_to_the_next_fetch() {
    simulated(async {
        let keys = jwks(&["one"]);
        let world = World::new(URI, move |_| Answer::Fresh(keys.clone(), Duration::from_secs(100)));
        world.has(&["one"]).await;
        sleep(Duration::from_secs(1000)).await;
        let asked: Vec<Instant> = world.asked().into_iter().map(|(at, _)| at).collect();
        let spans = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        assert!(spans.clone().count() >= 10 && spans.clone().all(|span| (90.0..=100.1).contains(&span)), "{asked:?}");
    });
}

#[test]
fn a_reload_keeps_keys_of_the_same_source_and_drops_those_of_another() {
    simulated(async {
        let world = World::new(URI, serving(&["one"]));
        world.has(&["one"]).await;
        let before = Arc::clone(&world.live.load());
        let keys_of = |generation: &Generation| Arc::clone(&generation.snapshot.issuers.iter().next().unwrap().keys);
        sleep(Duration::from_secs(100)).await;
        world.reload(&format!("{URI}, refresh: 150s"));
        let after = Arc::clone(&world.live.load());
        assert!(Arc::ptr_eq(&keys_of(&before), &keys_of(&after)));
        assert!(world.known().good.unwrap().age(clock::timer()) >= Duration::from_secs(100));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(world.asked().len(), 2, "the new pace counts from the last fetch");

        world.behave(|path| match path {
            "/other" => Answer::Slow(Duration::from_secs(1), jwks(&["two"])),
            _ => Answer::Body(jwks(&["three"])),
        });
        world.reload("jwks_uri: https://a.example/other");
        assert_eq!(world.ids(), [""; 0]);
        world.has(&["two"]).await;
        sleep(HOUR).await;
        assert_eq!(world.ids(), ["two"], "nobody follows the old source any more");
    });
}

#[test]
fn keys_on_disk_serve_at_once_and_age_goes_on() {
    simulated(async {
        let directory = tempfile::tempdir().unwrap();
        let keys = format!("{URI}, max_stale: 1h");
        {
            let world = World::with(config(&keys, Some(directory.path())), serving(&["one"]));
            world.has(&["one"]).await;
            let kept = |entry: std::io::Result<std::fs::DirEntry>| {
                entry.unwrap().path().extension().is_some_and(|it| it == "json")
            };
            while !std::fs::read_dir(directory.path()).unwrap().any(kept) {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let world = World::with(config(&keys, Some(directory.path())), |_| Answer::Status(503));
        assert_eq!(world.ids(), ["one"], "before anything was fetched");
        sleep(HOUR - Duration::from_secs(60)).await;
        assert_eq!(world.ids(), ["one"]);
        world.has(&[]).await;
    });
}
