use datamesh_settings::{CatalogMove, DatabaseFiles, Role, Settings};

use super::{MoveFault, check};

fn gateway() -> datamesh_settings::GatewaySettings {
    let text = include_str!("../../../settings/tests/golden/gateway-v1.yaml");
    let mut settings = Settings::from_yaml(text).unwrap();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway's") };
    *role.clone()
}

#[test]
fn a_move_needs_a_database() {
    let mut settings = gateway();
    assert!(check(&settings).is_ok());
    settings.catalog_move = Some(CatalogMove::ToDatabase);
    assert!(matches!(check(&settings), Err(MoveFault::NoDatabase)));
    settings.catalog_database = Some(DatabaseFiles { uri_file: "uri".into(), ca_file: None });
    assert!(check(&settings).is_ok());
}
