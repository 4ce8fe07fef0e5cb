//! What the keeper tells those who wait.

use tokio::time::sleep;

use super::super::account::AccountKey;
use super::super::load::Setup;
use super::*;

fn key() -> AccountKey {
    AccountKey {
        profile: None,
        region: Some("eu-west-1".to_owned()),
        endpoint_url: None,
    }
}

/// An account whose source has not answered yet, and what it will answer.
async fn asking() -> (Keeper, Loaded, Credentials) {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let loaded = Loaded::with_credentials(&key(), &Setup::plain(), credentials.clone()).await;
    let keeper = Keeper::new(Arc::new(Account::new(key(), Setup::plain())));
    (keeper, loaded, credentials)
}

#[tokio::test]
async fn who_waited_for_a_slow_helper_goes_on_at_once() {
    let (mut keeper, loaded, credentials) = asking().await;
    let stamp = loaded.watched.look().await;
    let mut news = keeper.account.login_news();
    // From here on the time is that of the waits: nobody is asked.
    tokio::time::pause();
    let failure = keeper.account.ready().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Network, "{}", failure.text);
    assert!(failure.text.contains("going on to wait"), "{}", failure.text);
    keeper.take(loaded, credentials, stamp, Why::Needed);
    let told = timeout(Duration::from_secs(1), news.next()).await;
    assert!(told.is_ok(), "nobody said that there are credentials");
    assert!(keeper.account.ready().await.is_ok());
}

#[tokio::test]
async fn credentials_that_nobody_had_to_wait_for_are_no_news() {
    let (mut keeper, loaded, credentials) = asking().await;
    let stamp = loaded.watched.look().await;
    let mut news = keeper.account.login_news();
    tokio::time::pause();
    keeper.take(loaded, credentials, stamp, Why::Needed);
    assert!(timeout(Duration::from_secs(1), news.next()).await.is_err());
}

/// Longer than anybody who may come again is waited for.
const LONG: Duration = Duration::from_secs(LOOK_FOR_USERS.as_secs() * (LOOKS_WITHOUT_USERS as u64 + 2));

#[tokio::test(start_paused = true)]
async fn an_account_nobody_uses_is_forgotten() {
    let accounts = Accounts::default();
    let mut keepers = JoinSet::new();
    let session = |keepers: &mut JoinSet<()>| {
        accounts.get(
            key(),
            |key| Account::new(key, Setup::plain()),
            |account| {
                keepers.spawn(keep(Arc::clone(account), accounts.clone()));
            },
        )
    };
    let (first, second) = (session(&mut keepers), session(&mut keepers));
    assert!(Arc::ptr_eq(&first, &second));
    drop(first);
    sleep(LONG).await;
    assert_eq!(accounts.all().len(), 1, "somebody uses it");
    drop(second);
    sleep(LOOK_FOR_USERS * 2).await;
    assert_eq!(accounts.all().len(), 1, "somebody may come again");
    let third = session(&mut keepers);
    sleep(LONG).await;
    drop(third);
    sleep(LONG).await;
    assert!(accounts.all().is_empty(), "it is there for ever");
    assert!(keepers.join_next().await.is_some(), "its task has ended");
    // Who comes now has another one, which is kept.
    let _late = session(&mut keepers);
    assert_eq!((accounts.all().len(), keepers.len()), (1, 1));
}
