//! What the derives for options and outputs share: named fields, kinds of values, the section.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Field, Fields, Ident};

use crate::attributes::Keys;

/// Kinds of values that the server knows (spec/tool-descriptor.md). Those with choices have keys of their own.
const KINDS: [&str; 14] = [
    "text",
    "password",
    "textarea",
    "json",
    "node",
    "file",
    "filepath",
    "date",
    "time",
    "datetime",
    "phase",
    "account",
    "userselect",
    "checkbox",
];

/// The named fields of a struct.
pub(crate) fn named<'a>(
    input: &'a DeriveInput,
    what: &str,
) -> syn::Result<impl Iterator<Item = (&'a Ident, &'a Field)> + use<'a>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => {
                Ok(fields.named.iter().filter_map(|field| field.ident.as_ref().map(|ident| (ident, field))))
            }
            other => Err(syn::Error::new(other.span(), format!("{what} need fields with names"))),
        },
        _ => Err(syn::Error::new(input.ident.span(), format!("{what} are a struct with named fields"))),
    }
}

/// The kind that was named with `kind = "…"`.
pub(crate) fn kind(keys: &Keys) -> syn::Result<Option<String>> {
    let Some(kind) = keys.text("kind")? else { return Ok(None) };
    if KINDS.contains(&kind.as_str()) {
        return Ok(Some(kind));
    }
    let span = keys.span("kind").unwrap_or_else(proc_macro2::Span::call_site);
    Err(syn::Error::new(span, format!("`{kind}` is not a kind of value; known are {}", KINDS.join(", "))))
}

/// A JSON text.
pub(crate) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A static in the custom section of that name, put together at compile time of pieces of JSON.
pub(crate) fn section(name: &str, pieces: &[TokenStream]) -> TokenStream {
    quote! {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const PIECES: &[&str] = &[#(#pieces),*];
            #[used]
            #[unsafe(link_section = #name)]
            static SECTION: [u8; ::autoexec_sdk::describe::length(PIECES)] =
                ::autoexec_sdk::describe::join(PIECES);
        };
    }
}
