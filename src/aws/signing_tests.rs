//! The signature against a small independent implementation and a canonical request written by hand.

use sha2::{Digest, Sha256};

use super::*;
use crate::aws::account::AccountKey;
use crate::aws::load::Setup;

/// 2026-11-23T00:00:00Z.
const NOW: Duration = Duration::from_secs(1_795_392_000);
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2104 with SHA-256.
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |with: u8| {
        let mut block = [with; 64];
        for (slot, byte) in block.iter_mut().zip(key) {
            *slot ^= byte;
        }
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner);
    outer.finalize().to_vec()
}

fn authorization(canonical: &str, signed_headers: &str) -> String {
    let scope = "20261123/eu-west-1/ssmmessages/aws4_request";
    let digest = hex(&Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n20261123T000000Z\n{scope}\n{digest}");
    let mut key = hmac(b"AWS4wJalrXUtnFEMI", "20261123");
    for part in ["eu-west-1", "ssmmessages", "aws4_request"] {
        key = hmac(&key, part);
    }
    let signature = hex(&hmac(&key, &text));
    format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={signed_headers}, Signature={signature}")
}

fn headers(url: &str, token: Option<&str>) -> Vec<(String, String)> {
    let url = StreamUrl::parse(url).unwrap();
    let token = token.map(ToOwned::to_owned);
    let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI", token, None, "test");
    let signed = sign_upgrade(&url, credentials, "eu-west-1", NOW).unwrap();
    let mut headers: Vec<_> = signed
        .into_iter()
        .map(|(name, value)| {
            assert!(value.is_sensitive());
            (name.to_string(), value.to_str().unwrap().to_owned())
        })
        .collect();
    headers.sort();
    headers
}

#[test]
fn the_test_hmac_is_right() {
    // RFC 4231, test case 2.
    assert_eq!(
        hex(&hmac(b"Jefe", "what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

#[test]
fn base64_in_the_query_and_an_at_sign_in_the_path_are_encoded_once_and_twice() {
    let url = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/a.b@corp-0a1b\
        ?role=publish_subscribe&cell-number=AAEAAb+c/d==";
    let canonical = [
        "GET",
        "/v1/data-channel/a.b%40corp-0a1b",
        "cell-number=AAEAAb%20c%2Fd%3D%3D&role=publish_subscribe",
        "host:ssmmessages.eu-west-1.amazonaws.com",
        "x-amz-date:20261123T000000Z",
        "x-amz-security-token:SESSION+TOKEN/==",
        "",
        "host;x-amz-date;x-amz-security-token",
        EMPTY_SHA256,
    ]
    .join("\n");
    let expected = authorization(&canonical, "host;x-amz-date;x-amz-security-token");
    let signed = headers(url, Some("SESSION+TOKEN/=="));
    assert_eq!(
        signed,
        [
            ("authorization".to_owned(), expected),
            ("x-amz-date".to_owned(), "20261123T000000Z".to_owned()),
            ("x-amz-security-token".to_owned(), "SESSION+TOKEN/==".to_owned()),
        ]
    );
}

#[test]
fn what_is_percent_encoded_already_is_not_encoded_again_in_the_query() {
    let url = "ws://127.0.0.1:8080/v1/data-channel/s?b=x%2By%3D&a=1";
    let canonical = [
        "GET",
        "/v1/data-channel/s",
        "a=1&b=x%2By%3D",
        "host:127.0.0.1:8080",
        "x-amz-date:20261123T000000Z",
        "",
        "host;x-amz-date",
        EMPTY_SHA256,
    ]
    .join("\n");
    let expected = authorization(&canonical, "host;x-amz-date");
    let signed = headers(url, None);
    assert_eq!(signed[0], ("authorization".to_owned(), expected));
    assert_eq!(signed.len(), 2);
}

#[tokio::test]
async fn the_signer_uses_the_accounts_credentials_and_region() {
    let key = AccountKey {
        profile: None,
        region: Some("us-east-2".to_owned()),
        endpoint_url: None,
    };
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let account = Account::loaded_with(key, Setup::plain(), credentials).await;
    let signer = Signer::new(Arc::new(account));
    let url = StreamUrl::parse("ws://localhost:1/x").unwrap();
    let signed = signer.sign(&url).await.unwrap();
    let (_, value) = signed.iter().find(|(name, _)| name == "authorization").unwrap();
    let value = value.to_str().unwrap();
    assert!(value.contains("AKIDEXAMPLE/") && value.contains("/us-east-2/ssmmessages/"));
}
