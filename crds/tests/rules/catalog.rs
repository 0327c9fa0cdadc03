//! Where the catalog is.

use datamesh_crds::CatalogKeeper;

use super::{cluster, refused};

#[test]
fn a_catalog_in_postgres_may_have_several_gateways() {
    let postgres = ("/spec/catalog", serde_json::json!({"postgres": {"secretRef": {"name": "pg"}}}));
    let with = |replicas: i32| cluster(&[postgres.clone(), ("/spec/gateway/replicas", replicas.into())]);
    for replicas in [1, 3] {
        with(replicas).validate_cel().unwrap();
    }
    refused(with(2).validate_cel(), "gateway.replicas: 1, 3 or 5");
}

#[test]
fn an_embedded_catalog_has_a_copy_at_each_gateway() {
    let with = |catalog: serde_json::Value| {
        cluster(&[("/spec/catalog", catalog), ("/spec/gateway/replicas", 3.into())])
    };
    for catalog in [serde_json::json!({"embedded": {}}), serde_json::json!({"embedded": {"replicas": 3}})] {
        let embedded = with(catalog);
        embedded.validate_cel().unwrap();
        assert_eq!(
            (embedded.spec.database(), embedded.spec.catalog_keeper()),
            (None, CatalogKeeper::Gateways)
        );
    }
    let other = with(serde_json::json!({"embedded": {"replicas": 5}}));
    refused(other.validate_cel(), "write the same number in gateway.replicas");
    let both = serde_json::json!({"embedded": {}, "postgres": {"secretRef": {"name": "pg"}}});
    for catalog in [both, serde_json::json!({})] {
        refused(with(catalog).validate_cel(), "catalog: name one of embedded and postgres");
    }
}

#[test]
fn a_catalog_may_be_sent_to_a_database_and_called_back_by_one_and_by_several() {
    let postgres = serde_json::json!({"secretRef": {"name": "pg"}});
    let there = ("/spec/catalog", serde_json::json!({"postgres": postgres}));
    let back = ("/spec/catalog", serde_json::json!({"postgres": postgres, "keptBy": "Gateways"}));
    for replicas in [1, 3] {
        let replicas = ("/spec/gateway/replicas", replicas.into());
        let without = cluster(std::slice::from_ref(&replicas));
        let [there, back] = [&there, &back].map(|catalog| cluster(&[replicas.clone(), catalog.clone()]));
        for (before, after) in
            [(&without, &there), (&there, &without), (&there, &back), (&back, &there), (&back, &without)]
        {
            after.validate_cel_update(before).unwrap();
        }
    }
    let port = serde_json::json!({"postgres": {"secretRef": {"name": "pg"}, "port": 0}});
    refused(
        cluster(&[("/spec/catalog", port)]).validate_cel(),
        "catalog.postgres.port: a port is 1 to 65535",
    );
}
