//! Code generated from the WIT files. Not for tools: use the modules beside it.
#![expect(clippy::pedantic, reason = "generated code, documented in the WIT files")]

wit_bindgen::generate!({
    path: "../../wit/autoexec-tool",
    world: "plugin",
    generate_all,
    pub_export_macro: true,
    additional_derives: [PartialEq],
    // Holds a handle, which can not be compared.
    additional_derives_ignore: ["stream-error"],
});

/// The export of tools that can say what they would change.
pub mod dry_run {
    wit_bindgen::generate!({
        inline: "package autoexec:sdk-dry-run; world dry-run { export autoexec:tool/dry-run@1.0.0; }",
        path: "../../wit/autoexec-tool",
        world: "autoexec:sdk-dry-run/dry-run",
        with: { "autoexec:tool/types@1.0.0": crate::bindings::autoexec::tool::types },
        pub_export_macro: true,
        export_macro_name: "export_dry_run",
        default_bindings_module: "autoexec_sdk::bindings::dry_run",
        additional_derives: [PartialEq],
    });
}

/// The export of tools that can say whether an interrupted run took effect.
pub mod effect_probe {
    wit_bindgen::generate!({
        inline: "package autoexec:sdk-effect-probe; world effect-probe { export autoexec:tool/effect-probe@1.0.0; }",
        path: "../../wit/autoexec-tool",
        world: "autoexec:sdk-effect-probe/effect-probe",
        with: { "autoexec:tool/types@1.0.0": crate::bindings::autoexec::tool::types },
        pub_export_macro: true,
        export_macro_name: "export_effect_probe",
        default_bindings_module: "autoexec_sdk::bindings::effect_probe",
        additional_derives: [PartialEq],
    });
}
