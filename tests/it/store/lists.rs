//! Pages of clients.

use sidegate::authority::client::Client;
use sidegate::authority::store::{Action, Page, Store};

use super::{NOW, Place, client, create, on_both, texts, who};

on_both! {
    pages_follow_each_other_in_the_order_of_bytes;
    only_clients_within_tenants_are_listed;
}

async fn ids(store: &Store, page: Page) -> Vec<String> {
    store.clients(page).await.unwrap().iter().map(|client| client.id.to_string()).collect()
}

async fn pages_follow_each_other_in_the_order_of_bytes(place: &Place) {
    let store = place.open().await;
    for id in ["b", "a-1", "B", "é", "a", "a1", "a_1"] {
        create(&store, id).await;
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = ids(&store, Page { after, limit: 3, within_tenants: None }).await;
        let Some(last) = page.last() else { break };
        after = Some(last.as_str().into());
        listed.push(page);
    }
    assert_eq!(listed, [vec!["B", "a", "a-1"], vec!["a1", "a_1", "b"], vec!["é"]]);
    let behind = |id: &str| Page { after: Some(id.into()), limit: usize::MAX, within_tenants: None };
    assert_eq!(ids(&store, behind("a_1\0x")).await, ["b", "é"]);
    assert_eq!(ids(&store, Page::default()).await, Vec::<String>::new());
}

async fn only_clients_within_tenants_are_listed(place: &Place) {
    let store = place.open().await;
    for (id, tenants) in
        [("none", &[][..]), ("x", &["x"]), ("xy", &["x", "y"]), ("y", &["y"]), ("quoted", &["a\"b\\u0000"])]
    {
        let made = Client { tenants: texts(tenants), ..client(id, 1) };
        store.change(who(), Action::Create, id, NOW, |_, _| Ok::<_, String>((Some(made), ()))).await.unwrap();
    }
    let within = async |tenants: &[&str], after: Option<&str>, limit| {
        let page = Page { after: after.map(Into::into), limit, within_tenants: Some(texts(tenants)) };
        ids(&store, page).await
    };
    assert_eq!(within(&["x"], None, 10).await, ["x"]);
    assert_eq!(within(&["y", "x", "z"], None, 10).await, ["x", "xy", "y"]);
    assert_eq!(within(&["y", "x", "z"], Some("x"), 1).await, ["xy"]);
    assert_eq!(within(&["a\"b\\u0000", "x\0"], None, 10).await, ["quoted"]);
    assert_eq!(within(&["z"], None, 10).await, Vec::<String>::new());
    assert_eq!(within(&[], None, 10).await, Vec::<String>::new());
}
