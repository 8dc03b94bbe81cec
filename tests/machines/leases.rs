//! Leases that several copies of one source share.

use super::*;
use crate::fs::names::tree::{AccountId, BlobDir};
use crate::path::ContainerName;
use crate::store::{AccountConfig, Http, Options};
use crate::sync::interleaved::{at_once, interleave};

/// No header can hold it: a request with it ends before it is sent, and needs no service to refuse it.
const UNSENDABLE: &str = "\n";

fn client() -> Client {
    let endpoint = Some("http://127.0.0.1:9/acct".to_owned());
    let account = AccountConfig { endpoint, anonymous: true, ..Default::default() }.resolve().unwrap();
    Client::new(account, Http::new(Options::default()))
}

fn blob(name: &str) -> Blob {
    let container = ContainerName::parse("box").unwrap();
    BlobDir { account: AccountId(0), container, prefix: String::new() }.blob(name).unwrap()
}

fn copy_to(name: &str) -> LeasedCopy {
    LeasedCopy { destination: blob(name), id: None, caller: None }
}

/// Leases with one of that source, which a copy to `a` has.
async fn leased(source: &Blob) -> (SourceLeases, SourceLease) {
    let background = BackgroundTasks::default();
    let leases = SourceLeases::new(&background, None);
    let shared = leases.shared(&client(), source);
    *shared.lease.lock().await = Some(Lease {
        client: client(),
        blob: source.clone(),
        id: LeaseId::new(UNSENDABLE),
        renewed: Mutex::new(Instant::now()),
        background,
        entry: None,
        released: false,
    });
    let first = leases.acquire(&client(), source, None, copy_to("a")).await.unwrap();
    (leases, first)
}

#[test]
fn a_source_is_leased_as_long_as_any_of_its_copies_is_pending() {
    interleave(|| {
        let source = blob("s");
        let (leases, first) = shuttle::future::block_on(leased(&source));
        let (leases, shared) = (Arc::new(leases), first.shared.clone());
        let ends = Box::new(move || {
            shuttle::future::block_on(first.release());
            false
        }) as Box<dyn FnOnce() -> bool + Send>;
        let begins = |name: &'static str| {
            let (leases, source) = (leases.clone(), source.clone());
            Box::new(move || {
                shuttle::future::block_on(async {
                    // Where the first has ended already a lease has to be acquired, which comes to nothing.
                    let version = ETag::new(UNSENDABLE);
                    let Some(mine) = leases.acquire(&client(), &source, Some(&version), copy_to(name)).await else {
                        return false;
                    };
                    assert!(mine.shared.lease.lock().await.is_some(), "it is leased for {name}, too");
                    assert!(leases.holder(&source).is_some());
                    mine.release().await;
                    true
                })
            }) as Box<dyn FnOnce() -> bool + Send>
        };
        at_once(vec![ends, begins("b"), begins("c")]);
        assert!(shared.lease.try_lock().unwrap().is_none(), "with the last copy the lease has ended");
        assert_eq!(leases.holder(&source), None);
    });
}

#[test]
fn a_lease_that_is_given_up_while_copies_end_is_given_back_once() {
    interleave(|| {
        let source = blob("s");
        let (leases, first) = shuttle::future::block_on(leased(&source));
        let leases = Arc::new(leases);
        let gives_up = || {
            let (leases, source) = (leases.clone(), source.clone());
            Box::new(move || shuttle::future::block_on(leases.release(&source))) as Box<dyn FnOnce() -> bool + Send>
        };
        let shared = first.shared.clone();
        let ends = Box::new(move || {
            shuttle::future::block_on(first.release());
            false
        });
        let given_up = at_once(vec![gives_up(), ends, gives_up()]);
        assert!(given_up.iter().filter(|given_up| **given_up).count() <= 1, "{given_up:?}");
        assert!(shared.lease.try_lock().unwrap().is_none());
    });
}
