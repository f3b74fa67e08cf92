//! `#[derive(Options)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Field, Ident};

use crate::attributes::{Keys, documentation, label};
use crate::fields::{json, kind, named, section};

const KEYS: [&str; 8] = ["name", "label", "help", "default", "kind", "required", "validate", "choices"];

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut readers = Vec::new();
    let mut descriptions = Vec::new();
    for (ident, field) in named(input, "options")? {
        let option = OptionField::read(ident, field)?;
        readers.push(option.reader());
        descriptions.push(option.description());
    }
    let mut pieces = vec![quote!("[")];
    for (number, description) in descriptions.iter().enumerate() {
        if number > 0 {
            pieces.push(quote!(","));
        }
        pieces.extend(description.iter().cloned());
    }
    pieces.push(quote!("]"));
    let section = section("autoexec:options", &pieces);
    let name = &input.ident;
    let (generics, types, clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::autoexec_sdk::options::OptionSet for #name #types #clause {
            fn read_all(
                mut given: ::autoexec_sdk::options::Given,
            ) -> ::core::result::Result<Self, ::autoexec_sdk::Failure> {
                let read = Self { #(#readers),* };
                given.finish();
                ::core::result::Result::Ok(read)
            }

            fn describe() -> ::std::string::String {
                const PIECES: &[&str] = &[#(#pieces),*];
                PIECES.concat()
            }
        }

        #section
    })
}

struct OptionField<'a> {
    ident: &'a Ident,
    field: &'a Field,
    name: String,
    label: String,
    help: String,
    default: Option<String>,
    kind: Option<String>,
    required: Option<bool>,
    validate: Option<String>,
    choices: Option<String>,
}

impl<'a> OptionField<'a> {
    fn read(ident: &'a Ident, field: &'a Field) -> syn::Result<Self> {
        let keys = Keys::read(&field.attrs, "option", &KEYS)?;
        let own = ident.to_string();
        let own = own.strip_prefix("r#").unwrap_or(&own).to_owned();
        let name = keys.text("name")?.unwrap_or(own);
        let help = keys.text("help")?.unwrap_or_else(|| documentation(&field.attrs));
        if help.is_empty() {
            let text = format!("say in a doc comment what `{name}` is: it is the help text of the option");
            return Err(syn::Error::new(ident.span(), text));
        }
        Ok(Self {
            ident,
            field,
            label: keys.text("label")?.unwrap_or_else(|| label(&name)),
            help,
            default: keys.text("default")?,
            kind: kind(&keys)?,
            required: keys.flag("required")?,
            validate: keys.text("validate")?,
            choices: keys.text("choices")?,
            name,
        })
    }

    fn reader(&self) -> TokenStream {
        let Self { ident, name, .. } = self;
        let default = if let Some(default) = &self.default {
            quote!(::core::option::Option::Some(#default))
        } else {
            quote!(::core::option::Option::None)
        };
        quote!(#ident: given.take(#name, #default)?)
    }

    /// Pieces of the option's JSON object.
    fn description(&self) -> Vec<TokenStream> {
        let kind = &self.field.ty;
        let head = format!(
            "{{\"opt\":{},\"name\":{},\"help\":{},",
            json(&self.name),
            json(&self.label),
            json(&self.help)
        );
        let what = match (&self.kind, &self.choices) {
            (Some(kind), _) => {
                let text = format!("\"type\":{}", json(kind));
                quote!(#text)
            }
            (None, Some(choices)) => {
                let text =
                    format!("\"type\":\"select\",\"dataSource\":{{\"dataList\":[{}]}}", data_list(choices));
                quote!(#text)
            }
            (None, None) => quote!(<#kind as ::autoexec_sdk::options::OptionValue>::KIND),
        };
        let required = match (self.required, &self.default) {
            (Some(required), _) => {
                let text = required.to_string();
                quote!(#text)
            }
            (None, Some(_)) => quote!("false"),
            (None, None) => quote!(if <#kind as ::autoexec_sdk::options::OptionValue>::IS_OPTIONAL {
                "false"
            } else {
                "true"
            }),
        };
        let validate =
            self.validate.as_ref().map_or_else(|| "\"\"".to_owned(), |rule| format!("[{}]", json(rule)));
        let tail = format!(
            ",\"defaultValue\":{},\"validate\":{validate}}}",
            json(self.default.as_deref().unwrap_or_default())
        );
        vec![quote!(#head), what, quote!(",\"required\":"), required, quote!(#tail)]
    }
}

/// `a, b=Text of b` as entries of a list of choices.
fn data_list(choices: &str) -> String {
    let entries = choices.split(',').map(|choice| {
        let choice = choice.trim();
        let (value, text) =
            choice.split_once('=').map_or((choice, choice), |(value, text)| (value.trim(), text.trim()));
        format!("{{\"text\":{},\"value\":{}}}", json(text), json(value))
    });
    entries.collect::<Vec<_>>().join(",")
}
