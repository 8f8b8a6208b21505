//! Several gateways that start for the first time, at once.

use std::fs;
use std::path::PathBuf;

use tokio::task::JoinSet;

use super::fixture::{NOW, settings};
use crate::authority::first_start::{ADMIN, make_admin};
use crate::authority::secret::SecretHash;
use crate::authority::store::Store;
use crate::config::authority::{Authority, CONTROL_SCOPES};

fn settings_with_file(directory: &tempfile::TempDir) -> (Authority, PathBuf) {
    let file = directory.path().join("admin-secret");
    let scopes = CONTROL_SCOPES.map(|(name, text)| (name.into(), text.into())).into();
    (Authority { admin_secret_file: Some(file.clone()), scopes, ..settings(directory) }, file)
}

#[tokio::test]
async fn starters_that_share_a_file_leave_the_secret_of_the_one_client_in_it() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let (settings, file) = settings_with_file(&directory);
        let mut starts = JoinSet::new();
        for _ in 0..4 {
            let (store, settings) = (Store::open(&settings.storage).await.unwrap(), settings.clone());
            starts.spawn(async move { make_admin(&store, &settings, NOW, None).await.unwrap() });
        }
        starts.join_all().await;
        let store = Store::open(&settings.storage).await.unwrap();
        let admin = store.client(ADMIN).await.unwrap().unwrap();
        let written = fs::read_to_string(file).expect("the secret is lost");
        assert_eq!(SecretHash::of(written.trim_end()), admin.secrets[0].hash);
        assert_eq!((admin.generation, admin.version), (1, 1));
    }
}

#[tokio::test]
async fn where_the_secret_cannot_be_left_no_client_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let (settings, file) = settings_with_file(&directory);
    let store = Store::open(&settings.storage).await.unwrap();
    fs::create_dir(&file).unwrap();
    let error = make_admin(&store, &settings, NOW, None).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot write the secret of the client admin to "), "{error}");
    assert!(store.client(ADMIN).await.unwrap().is_none());
    fs::remove_dir(&file).unwrap();
    make_admin(&store, &settings, NOW, None).await.unwrap();
    assert!(file.exists() && store.client(ADMIN).await.unwrap().is_some());
}
