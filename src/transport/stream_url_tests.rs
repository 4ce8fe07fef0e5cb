//! Addresses that are AWS's, and addresses that only look like it.

use super::*;

const REAL: &str = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/alice-0a1b2c3d4e5f67890\
    ?role=publish_subscribe&cell-number=AAEAAb+c/d==";

#[test]
fn path_and_query_stay_as_they_came() {
    let url = StreamUrl::parse(REAL).unwrap();
    assert_eq!(
        url.uri().path_and_query().unwrap().as_str(),
        "/v1/data-channel/alice-0a1b2c3d4e5f67890?role=publish_subscribe&cell-number=AAEAAb+c/d=="
    );
    assert_eq!((url.host(), url.port()), ("ssmmessages.eu-west-1.amazonaws.com", 443));
    assert!(url.is_secure() && !url.is_loopback());
}

#[test]
fn hosts_of_every_partition_are_taken() {
    for host in [
        "ssmmessages.eu-west-1.amazonaws.com",
        "SSMMessages.EU-west-1.amazonaws.com",
        "ssmmessages.us-gov-west-1.amazonaws.com",
        "ssmmessages-fips.us-east-1.amazonaws.com",
        "ssmmessages.cn-north-1.amazonaws.com.cn",
        "ssmmessages.eusc-de-east-1.amazonaws.eu",
        "ssmmessages.us-iso-east-1.c2s.ic.gov",
        "ssmmessages.us-isob-east-1.sc2s.sgov.gov",
        "ssmmessages.eu-isoe-west-1.cloud.adc-e.uk",
        "ssmmessages.us-isof-south-1.csp.hci.ic.gov",
        "ssmmessages.eu-west-1.api.aws",
        "ssmmessages-fips.us-east-1.api.aws",
        "ssmmessages.cn-north-1.api.amazonwebservices.com.cn",
        "ssmmessages.eusc-de-east-1.api.amazonwebservices.eu",
        "vpce-0123456789abcdef0-abcdefgh.ssmmessages.eu-west-1.vpce.amazonaws.com",
        "vpce-0123-abcd-eu-west-1a.ssmmessages-fips.us-east-1.vpce.amazonaws.com",
        "ssmmessages.ap-southeast-7.amazonaws.com",
        "ssmmessages.mx-central-1.amazonaws.com",
        "ssmmessages.il-central-1.amazonaws.com",
        "ssmmessages-fips.ca-west-1.amazonaws.com",
        "ssmmessages-fips.us-gov-east-1.amazonaws.com",
        "ssmmessages.us-gov-east-1.api.aws",
        "ssmmessages-fips.us-gov-west-1.api.aws",
        "ssmmessages.cn-northwest-1.amazonaws.com.cn",
        "ssmmessages.us-iso-west-1.c2s.ic.gov",
        "ssmmessages.us-isob-west-1.sc2s.sgov.gov",
        "ssmmessages.us-isof-east-1.csp.hci.ic.gov",
        "vpce-0123456789abcdef0-abcdefgh.ssmmessages.cn-north-1.vpce.amazonaws.com.cn",
    ] {
        for port in ["", ":443"] {
            let url = StreamUrl::parse(&format!("wss://{host}{port}/v1/data-channel/s?a=b"));
            let url = url.unwrap_or_else(|failure| panic!("{host}: {}", failure.text));
            let region = url.region().unwrap();
            assert!(
                is_region(region) && host.to_ascii_lowercase().contains(&format!(".{region}.")),
                "{region}"
            );
            assert_eq!(url.host_header(), host.to_ascii_lowercase());
        }
    }
}

#[test]
fn loopback_may_be_plain_on_any_port() {
    for (text, host, port, header) in [
        ("ws://127.0.0.1:8080/x?y", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("ws://127.9.9.9/x", "127.9.9.9", 80, "127.9.9.9"),
        ("ws://[::1]:9/x", "::1", 9, "[::1]:9"),
        ("ws://localhost:1/x", "localhost", 1, "localhost:1"),
        ("wss://LOCALHOST/x", "localhost", 443, "localhost"),
    ] {
        let url = StreamUrl::parse(text).unwrap();
        assert!(url.is_loopback(), "{text}");
        assert_eq!((url.host(), url.port()), (host, port), "{text}");
        assert_eq!(url.host_header(), header);
    }
}

#[test]
fn everything_else_is_refused() {
    for text in [
        "",
        "wss://",
        "not a url",
        "https://ssmmessages.eu-west-1.amazonaws.com/x",
        "ssmmessages.eu-west-1.amazonaws.com/x",
        "ws://ssmmessages.eu-west-1.amazonaws.com/x",
        "ws://10.0.0.1/x",
        "ws://[fe80::1]/x",
        "ws://localhost.evil.org/x",
        "ws://127.0.0.1.evil.org/x",
        "ws://128.0.0.1/x",
        "ws://localhost@10.0.0.1/x",
        "wss://192.0.2.1/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com.evil.org/x",
        "wss://ssmmessages.eu-west-1.evilamazonaws.com/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com./x",
        "wss://.ssmmessages.eu-west-1.amazonaws.com/x",
        "wss://ssmmessages..eu-west-1.amazonaws.com/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com:8443/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com:/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com:99999/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com:44a3/x",
        "wss://alice@ssmmessages.eu-west-1.amazonaws.com/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com@evil.org/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com:443@evil.org/x",
        "wss://evil.org/ssmmessages.eu-west-1.amazonaws.com",
        "wss://evil.org?ssmmessages.eu-west-1.amazonaws.com",
        "wss://evil.org#.ssmmessages.eu-west-1.amazonaws.com",
        "wss://evil.org\\.ssmmessages.eu-west-1.amazonaws.com/x",
        "wss://ssmmessages%2eeu-west-1.amazonaws.com/x",
        "wss://amazonaws.com/x",
        "wss://ssmmessages.amazonaws.com/x",
        "wss://ssmmessages.evil.amazonaws.com/x",
        "wss://bucket.s3.eu-west-1.amazonaws.com/x",
        "wss://ssmmessages.eu-west-1.elb.amazonaws.com/x",
        "wss://xssmmessages.eu-west-1.amazonaws.com/x",
        "wss://a.ssmmessages.eu-west-1.amazonaws.com/x",
        "wss://vpce-.ssmmessages.eu-west-1.vpce.amazonaws.com/x",
        "wss://evil.ssmmessages.eu-west-1.vpce.amazonaws.com/x",
        "wss://vpce-1.execute-api.eu-west-1.vpce.amazonaws.com/x",
        "wss://ssmmessages.eu-west-1.amazonaws.co/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com.cn.evil.org/x",
        "wss://ssmmessages.eu-west-1.api.aws.evil.org/x",
        "wss://ssmmessages.eu-west-1.api.awsx/x",
        "wss://ssmmessages.eu-west-1.amazonaws.org/x",
        "wss://ssmmessages.eu-west-1.arnazonaws.com/x",
        "wss://ssmmessages.eu-west-1-amazonaws.com/x",
        "wss://ssmmessages-eu-west-1.amazonaws.com/x",
        "wss://ssmmessages.eu-west-1.vpce.amazonaws.com/x",
        "wss://ssmmessages.eu_west_1.amazonaws.com/x",
        "wss://ssmmessages.eu--1.amazonaws.com/x",
        "wss://ssmmessages-evil.eu-west-1.amazonaws.com/x",
        "wss://ssmmessagesx.eu-west-1.amazonaws.com/x",
        "wss://ssm.eu-west-1.amazonaws.com/x",
        "wss://ec2messages.eu-west-1.amazonaws.com/x",
        "wss://ec2-192-0-2-1.eu-west-1.compute.amazonaws.com/x",
        "wss://ssmmessages.s3-website.eu-west-1.amazonaws.com/x",
        "wss://abcdef1234.execute-api.eu-west-1.amazonaws.com/x",
        "wss://ssmmessages.eu-west-1.on.aws/x",
        "wss://ssmmessages.eu-west-1.cloudfront.net/x",
        "wss://169.254.169.254/x",
        "wss://[::ffff:10.0.0.1]/x",
        "wss://[::1%25eth0]/x",
        "wss://0x7f000001/x",
        "wss://2130706433/x",
        "wss://127.1/x",
        "wss://localhost./x",
        "wss://ssmmessages.eu-west-1.amazonaws.com\t.evil.org/x",
        "wss://ssmmessages.eu-west-1.amazonaws.com\r\nHost: evil.org/x",
        "wss:ssmmessages.eu-west-1.amazonaws.com/x",
        "wss:///ssmmessages.eu-west-1.amazonaws.com/x",
        "file:///etc/passwd",
        "wss://ssmmessages.eu-west-1.amazonaws.com\u{0430}/x",
    ] {
        match StreamUrl::parse(text) {
            Err(failure) => assert_eq!(failure.class, FailureClass::Protocol, "{text}"),
            Ok(url) => panic!("{text} was taken as {url:?}"),
        }
    }
}

#[test]
fn a_signature_in_the_query_is_noticed() {
    let parse = |query: &str| StreamUrl::parse(&format!("ws://localhost/x?{query}")).unwrap();
    assert!(parse("a=b&X-Amz-Signature=00").is_presigned());
    assert!(parse("x-amz-date=1").is_presigned());
    assert!(!parse("a=X-Amz-Signature").is_presigned());
    assert!(!parse("").is_presigned());
}

#[test]
fn the_query_is_not_in_debug() {
    let text = format!("{:?}", StreamUrl::parse(REAL).unwrap());
    assert_eq!(
        text,
        "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/alice-0a1b2c3d4e5f67890"
    );
}

/// The query may be a signature; a refusal is logged.
#[test]
fn a_refusal_does_not_show_the_query() {
    for text in [
        "wss://evil.example/path?X-Amz-Security-Token=canary",
        "wss://user:canary@evil.example/",
        "http://127.0.0.1/?canary",
        "wss://127.0.0.1:0/?canary",
        "wss://[::1/?canary",
        "canary canary",
    ] {
        let failure = StreamUrl::parse(text).unwrap_err();
        assert!(!failure.text.contains("canary"), "{}", failure.text);
    }
}
