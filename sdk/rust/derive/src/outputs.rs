//! `#[derive(Outputs)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::attributes::{Keys, documentation, label};
use crate::fields::{json, kind, named, section};

const KEYS: [&str; 5] = ["name", "label", "help", "kind", "default"];

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut setters = Vec::new();
    let mut pieces = vec![quote!("[")];
    for (ident, field) in named(input, "outputs")? {
        let keys = Keys::read(&field.attrs, "output", &KEYS)?;
        let name = keys.text("name")?.unwrap_or_else(|| ident.to_string());
        let help = keys.text("help")?.unwrap_or_else(|| documentation(&field.attrs));
        if help.is_empty() {
            let text = format!("say in a doc comment what the output `{name}` holds");
            return Err(syn::Error::new(ident.span(), text));
        }
        setters.push(quote!(::autoexec_sdk::output::set(#name, &self.#ident);));
        if pieces.len() > 1 {
            pieces.push(quote!(","));
        }
        let head = format!(
            "{{\"opt\":{},\"name\":{},\"help\":{},",
            json(&name),
            json(&keys.text("label")?.unwrap_or_else(|| label(&name))),
            json(&help)
        );
        pieces.push(quote!(#head));
        let own = &field.ty;
        pieces.push(if let Some(kind) = kind(&keys)? {
            let text = format!("\"type\":{}", json(&kind));
            quote!(#text)
        } else {
            quote!(<#own as ::autoexec_sdk::output::OutputValue>::KIND)
        });
        let tail = match keys.text("default")? {
            Some(default) => format!(",\"defaultValue\":{}}}", json(&default)),
            None => "}".to_owned(),
        };
        pieces.push(quote!(#tail));
    }
    pieces.push(quote!("]"));
    let section = section("autoexec:outputs", &pieces);
    let name = &input.ident;
    let (generics, types, clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::autoexec_sdk::output::Outputs for #name #types #clause {
            fn put(&self) {
                #(#setters)*
            }

            fn describe() -> ::std::string::String {
                const PIECES: &[&str] = &[#(#pieces),*];
                PIECES.concat()
            }
        }

        #section
    })
}
