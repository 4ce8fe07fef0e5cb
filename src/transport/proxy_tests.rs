//! Which hosts go through a proxy, and what its answers mean.

use tokio::net::TcpListener;

use super::*;

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Proxies::new(move |name| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    })
}

fn route(proxies: &Proxies, host: &str) -> String {
    match proxies.route(host, 443) {
        Ok(Some(proxy)) => proxy.to_string(),
        Ok(None) => "direct".to_owned(),
        Err(failure) => failure.text,
    }
}

const SSM: &str = "ssm.eu-west-1.amazonaws.com";

#[test]
fn the_first_variable_that_says_something_counts() {
    let rows: [(&[(&str, &str)], &str); 8] = [
        (&[], "direct"),
        (&[("HTTPS_PROXY", "http://a:1")], "proxy a:1"),
        (&[("https_proxy", "http://b:2/")], "proxy b:2"),
        (
            &[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")],
            "proxy a:1",
        ),
        (&[("HTTPS_PROXY", " "), ("https_proxy", "b:2")], "proxy b:2"),
        (&[("ALL_PROXY", "http://c:3")], "proxy c:3"),
        (&[("HTTP_PROXY", "http://d:4")], "direct"),
        (&[("HTTPS_PROXY", "http://[::1]:5")], "proxy [::1]:5"),
    ];
    for (variables, expected) in rows {
        assert_eq!(route(&proxies(variables), SSM), expected, "{variables:?}");
    }
}

#[test]
fn some_hosts_need_no_proxy() {
    let rows = [
        ("", SSM, false),
        ("*", SSM, true),
        ("amazonaws.com", SSM, true),
        (".amazonaws.com", SSM, true),
        ("example.com, eu-west-1.amazonaws.com", SSM, true),
        ("mazonaws.com", SSM, false),
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.0.0.0/8", "11.1.2.3", false),
        ("", "localhost", true),
        ("", "127.0.0.9", true),
        ("", "::1", true),
    ];
    for (no_proxy, host, direct) in rows {
        let proxies = proxies(&[("HTTPS_PROXY", "http://a:1"), ("no_proxy", no_proxy)]);
        assert_eq!(route(&proxies, host) == "direct", direct, "{no_proxy:?} {host}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_not_gone_round_and_its_password_is_not_shown() {
    for url in [
        "https://canary:canary@proxy:1",
        "socks5://canary@proxy:1",
        "http://user:ca nary@proxy:1",
        "http:///canary",
    ] {
        let proxies = proxies(&[("HTTPS_PROXY", url)]);
        let text = route(&proxies, SSM);
        assert!(text.starts_with("the proxy in HTTPS_PROXY cannot be used: "), "{text}");
        assert!(!format!("{text}{proxies:?}").contains("canary"), "{text}{proxies:?}");
        assert_eq!(route(&proxies, "127.0.0.1"), "direct");
        assert!(proxies.for_client().is_err());
    }
}

#[test]
fn what_the_client_is_given_is_what_the_route_uses() {
    for (written, expected) in [
        ("proxy:3128", "proxy proxy:3128"),
        ("proxy:3128/", "proxy proxy:3128"),
        ("proxy", "proxy proxy:80"),
        ("ada:p%40ss@proxy:3128", "proxy proxy:3128"),
        ("10.0.0.1:3128", "proxy 10.0.0.1:3128"),
        ("[::1]:3128", "proxy [::1]:3128"),
        ("http://proxy:3128", "proxy proxy:3128"),
        ("HTTP://proxy:3128", "proxy proxy:3128"),
        ("http://ada:p%40ss@proxy:3128/", "proxy proxy:3128"),
    ] {
        let proxies = proxies(&[("HTTPS_PROXY", written)]);
        assert_eq!(route(&proxies, SSM), expected, "{written}");
        let (url, _) = proxies.for_client().unwrap().unwrap();
        let taken = aws_smithy_http_client::proxy::ProxyConfig::https(url);
        assert!(taken.is_ok(), "{written}: {taken:?}");
        let uri: Uri = url.parse().unwrap();
        let of_client = authority(
            uri.host().unwrap().trim_matches(['[', ']']),
            uri.port_u16().unwrap_or(80),
        );
        assert_eq!(format!("proxy {of_client}"), expected, "{written}");
    }
}

#[test]
fn metadata_services_are_reached_directly_whatever_the_proxy_is() {
    for url in ["http://proxy:3128", "socks5://proxy:1080"] {
        let proxies = proxies(&[("HTTPS_PROXY", url)]);
        for host in ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "[fd00:ec2::254]"] {
            assert_eq!(route(&proxies, host), "direct", "{url} {host}");
        }
    }
}

/// A proxy that answers once with `answer`; gives what it was asked.
async fn asked(answer: &'static [u8], user: &str) -> (Result<TcpStream, Failure>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxies = proxies(&[("HTTPS_PROXY", &format!("http://{user}{address}"))]);
    let proxy = proxies.route(SSM, 443).unwrap().unwrap();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(answer).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    tokio::join!(proxy.connect(SSM, 443), serve)
}

#[tokio::test]
async fn connect_asks_as_http_wants_it() {
    let (stream, request) = asked(
        b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nrest",
        "ada:p%40ss@",
    )
    .await;
    // The tunnel's first bytes are not the proxy's.
    let mut stream = stream.unwrap();
    let mut rest = [0; 4];
    stream.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"rest");
    // `ada:p@ss` in base64.
    assert_eq!(
        request,
        "CONNECT ssm.eu-west-1.amazonaws.com:443 HTTP/1.1\r\nHost: ssm.eu-west-1.amazonaws.com:443\r\n\
         Proxy-Authorization: Basic YWRhOnBAc3M=\r\n\r\n"
    );
    let (_, request) = asked(b"HTTP/1.0 200 OK\r\n\r\n", "").await;
    assert!(!request.contains("Authorization"), "{request}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    use FailureClass::{Network, Protocol};
    let rows: [(&[u8], &str, FailureClass, &str); 7] = [
        (
            b"HTTP/1.1 407 X\r\n\r\n",
            "",
            Protocol,
            "wants a user and a password (407)",
        ),
        (b"HTTP/1.1 407 X\r\n\r\n", "a:b@", Protocol, "does not take this user"),
        (b"HTTP/1.1 502 X\r\n\r\n", "", Network, "cannot reach ssm.eu-west-1"),
        (b"HTTP/1.1 503 X\r\n\r\n", "", Network, "now (HTTP 503)"),
        (b"HTTP/1.1 403 X\r\n\r\n", "", Protocol, "NO_PROXY"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "", Protocol, "as an HTTP proxy does"),
        (b"HTTP/1.1 2", "", Network, "broke off"),
    ];
    for (answer, user, class, text) in rows {
        let failure = asked(answer, user).await.0.unwrap_err();
        assert_eq!(failure.class, class, "{}", failure.text);
        assert!(failure.text.contains(text), "{}", failure.text);
        assert!(failure.text.contains("proxy 127.0.0.1:"), "{}", failure.text);
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    let long: &'static [u8] = Box::leak(vec![b'x'; LONGEST_ANSWER + 10].into_boxed_slice());
    let failure = asked(long, "").await.0.unwrap_err();
    assert_eq!(failure.class, FailureClass::Protocol, "{}", failure.text);
}
