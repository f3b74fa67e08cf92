//! `#[derive(Options)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Attribute, DeriveInput, Field, Ident, Path};

use crate::attributes::{Keys, documentation, label};
use crate::fields::{json, kind, named, section};

const KEYS: [&str; 8] = ["name", "label", "help", "default", "kind", "required", "validate", "choices"];

/// The options of a tool.
pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let (readers, members) = read_and_describe(input)?;
    let mut pieces = vec![quote!("[")];
    pieces.extend(members);
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

/// Options that are a part of those of several tools. They have no section of their own.
pub(crate) fn derive_group(input: &DeriveInput) -> syn::Result<TokenStream> {
    let (readers, pieces) = read_and_describe(input)?;
    let name = &input.ident;
    if readers.is_empty() {
        return Err(syn::Error::new(name.span(), "a group has at least one option"));
    }
    let (generics, types, clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::autoexec_sdk::options::OptionGroup for #name #types #clause {
            const MEMBERS: &'static str = {
                const PIECES: &[&str] = &[#(#pieces),*];
                const JOINED: [u8; ::autoexec_sdk::describe::length(PIECES)] =
                    ::autoexec_sdk::describe::join(PIECES);
                ::autoexec_sdk::describe::text(&JOINED)
            };

            fn take_from(
                given: &mut ::autoexec_sdk::options::Given,
            ) -> ::core::result::Result<Self, ::autoexec_sdk::Failure> {
                ::core::result::Result::Ok(Self { #(#readers),* })
            }
        }
    })
}

/// How each field is read, and the members of the JSON list that describes them, in pieces.
fn read_and_describe(input: &DeriveInput) -> syn::Result<(Vec<TokenStream>, Vec<TokenStream>)> {
    let (mut readers, mut pieces) = (Vec::new(), Vec::new());
    for (ident, field) in named(input, "options")? {
        if !readers.is_empty() {
            pieces.push(quote!(","));
        }
        if is_group(field)? {
            let kind = &field.ty;
            readers.push(quote!(#ident: given.group()?));
            pieces.push(quote!(<#kind as ::autoexec_sdk::options::OptionGroup>::MEMBERS));
        } else {
            let option = OptionField::read(ident, field)?;
            readers.push(option.reader());
            pieces.extend(option.description());
        }
    }
    Ok((readers, pieces))
}

/// Whether the field stands for the options of its type: `#[option(flatten)]`.
fn is_group(field: &Field) -> syn::Result<bool> {
    let own = || field.attrs.iter().filter(|attribute| attribute.path().is_ident("option"));
    let is_flatten =
        |attribute: &&Attribute| attribute.parse_args::<Path>().is_ok_and(|path| path.is_ident("flatten"));
    match own().find(is_flatten) {
        Some(flatten) if own().count() > 1 => {
            let text = "`flatten` stands alone: the options of the type have keys of their own";
            Err(syn::Error::new(flatten.span(), text))
        }
        found => Ok(found.is_some()),
    }
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
