//! What is no rule, or none that can be carried out, is refused: what is left out of a filter would end more.

use super::{Logs, days, named, rule};

#[tokio::test]
async fn rules_that_cannot_be_carried_out_are_refused() {
    let logs = Logs::new().await;
    let transition = "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>";
    let abort = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    let date = |time: &str| format!("<Expiration><Date>2030-01-01T{time}Z</Date></Expiration>");
    let many: String = (0..1001).map(|n| named(&n.to_string(), "", &days(1))).collect();
    for (rules, code) in [
        (rule("", transition), "NotImplemented"),
        (rule("", &days(0)), "InvalidArgument"),
        (rule("", &date("01:00:00")), "InvalidArgument"),
        (rule("", &date("00:00:00.5")), "InvalidArgument"),
        (rule("", "<Expiration></Expiration>"), "MalformedXML"),
        (
            rule("", "<Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>"),
            "MalformedXML",
        ),
        (rule("", ""), "InvalidRequest"),
        (rule("<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>", abort), "InvalidRequest"),
        (rule("", &days(1)).repeat(2), "InvalidArgument"),
        (rule("", &days(1)).replace("Enabled", "On"), "MalformedXML"),
        (many, "MalformedXML"),
    ] {
        assert_eq!(logs.rules(&rules).await.as_deref(), Some(code), "{}", &rules[..rules.len().min(300)]);
    }
    assert_eq!(logs.rules(&rule("", &date("00:00:00"))).await, None);
    assert!(logs.text("/logs?lifecycle=").await.contains("<Date>2030-01-01T00:00:00"), "as it was put");
}

#[tokio::test]
async fn a_rule_says_what_it_is_about_in_one_way() {
    let logs = Logs::new().await;
    let tag = "<Tag><Key>a</Key><Value>b</Value></Tag>";
    let ends = days(1);
    let without = |about: &str| format!("<Rule><ID>r</ID><Status>Enabled</Status>{about}{ends}</Rule>");
    for refused in [
        without(""),
        without("<Prefix>a</Prefix><Filter><Prefix>a</Prefix></Filter>"),
        without(&format!("<Filter><Prefix></Prefix>{tag}</Filter>")),
        without(&format!("<Filter><Prefix></Prefix><And><Prefix>a</Prefix>{tag}</And></Filter>")),
        without("<Filter><Prefix>a</Prefix><Prefixes>b</Prefixes></Filter>"),
        without("<Filter><Prefix>a</Prefix></Filter><Filter></Filter>"),
    ] {
        assert_eq!(logs.rules(&refused).await.as_deref(), Some("MalformedXML"), "{refused}");
    }
    for taken in [
        without("<Prefix>a</Prefix>"),
        without("<Filter/>"),
        without(&format!("<Filter>{tag}</Filter>")),
        without(&format!("<Filter><And><Prefix>a</Prefix>{tag}</And></Filter>")),
    ] {
        assert_eq!(logs.rules(&taken).await, None, "{taken}");
    }
}
