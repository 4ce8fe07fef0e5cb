//! The accounts there are. Whoever hands one out and whoever forgets it look under one lock, so that nobody is left with
//! an account that is not kept any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::account::{Account, AccountKey};

/// Those of this list and of the account's keeper; each session has more.
const OWN_REFERENCES: usize = 2;

/// Clones are the same list.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts(Arc<Mutex<BTreeMap<AccountKey, Arc<Account>>>>);

impl Accounts {
    /// The account with this key; one that is not there yet is made, and shown to `begin`.
    pub(super) fn get(
        &self,
        key: AccountKey,
        make: impl FnOnce(AccountKey) -> Account,
        begin: impl FnOnce(&Arc<Account>),
    ) -> Arc<Account> {
        let mut accounts = self.lock();
        let account = accounts.entry(key.clone()).or_insert_with(|| {
            let account = Arc::new(make(key));
            begin(&account);
            account
        });
        Arc::clone(account)
    }

    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        self.lock().values().cloned().collect()
    }

    /// Forgets it unless somebody uses it; says whether it did.
    pub(super) fn forget(&self, account: &Arc<Account>) -> bool {
        let mut accounts = self.lock();
        let is_unused = !is_used(account);
        if is_unused {
            accounts.remove(&account.key);
        }
        is_unused
    }

    /// Nothing in here can be left half done by a panic.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountKey, Arc<Account>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a session has this account. Only its keeper can ask.
pub(super) fn is_used(account: &Arc<Account>) -> bool {
    Arc::strong_count(account) > OWN_REFERENCES
}
