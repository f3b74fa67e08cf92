//! Code generated from the WIT files. Not for tools: use the modules beside it.
#![expect(clippy::pedantic, reason = "generated code, documented in the WIT files")]

wit_bindgen::generate!({
    path: "../../wit/autoexec-tool",
    world: "plugin",
    generate_all,
    pub_export_macro: true,
});
