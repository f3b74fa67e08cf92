//! What authors write beside a field or variant: `#[option(label = "Who", default = "world")]` and the doc comment.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, MetaNameValue, Token, punctuated::Punctuated};

/// The values of one attribute, by their keys. Keys that nothing reads are errors.
pub(crate) struct Keys(BTreeMap<String, Lit>);

impl Keys {
    /// Reads all attributes of that name; `known` are the keys they may have.
    pub(crate) fn read(attributes: &[Attribute], name: &str, known: &[&str]) -> syn::Result<Self> {
        let mut keys = BTreeMap::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
            let pairs =
                attribute.parse_args_with(Punctuated::<MetaNameValue, Token![,]>::parse_terminated)?;
            for pair in pairs {
                let key = pair.path.get_ident().map(ToString::to_string).unwrap_or_default();
                if !known.contains(&key.as_str()) {
                    let text = format!("`{key}` is not known here; known are {}", known.join(", "));
                    return Err(syn::Error::new(pair.path.span(), text));
                }
                let Expr::Lit(ExprLit { lit, .. }) = pair.value else {
                    return Err(syn::Error::new(pair.value.span(), "this must be a literal"));
                };
                if keys.insert(key.clone(), lit).is_some() {
                    return Err(syn::Error::new(pair.path.span(), format!("`{key}` is given twice")));
                }
            }
        }
        Ok(Self(keys))
    }

    /// A text. Numbers and yes or no may be written as such.
    pub(crate) fn text(&self, key: &str) -> syn::Result<Option<String>> {
        self.0
            .get(key)
            .map(|literal| match literal {
                Lit::Str(text) => Ok(text.value()),
                Lit::Int(number) => Ok(number.base10_digits().to_owned()),
                Lit::Float(number) => Ok(number.base10_digits().to_owned()),
                Lit::Bool(flag) => Ok(flag.value.to_string()),
                other => Err(syn::Error::new(other.span(), "this must be a text")),
            })
            .transpose()
    }

    /// A yes or no.
    pub(crate) fn flag(&self, key: &str) -> syn::Result<Option<bool>> {
        self.0
            .get(key)
            .map(|literal| match literal {
                Lit::Bool(flag) => Ok(flag.value),
                other => Err(syn::Error::new(other.span(), "this must be true or false")),
            })
            .transpose()
    }

    /// Where a value stands, for errors about it.
    pub(crate) fn span(&self, key: &str) -> Option<proc_macro2::Span> {
        self.0.get(key).map(Spanned::span)
    }
}

/// The doc comment as one line, without the full stop of a single sentence, as labels and help texts are.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(MetaNameValue {
            path,
            value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }),
            ..
        }) if path.is_ident("doc") => Some(text.value().trim().to_owned()),
        _ => None,
    });
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    match text.strip_suffix('.') {
        Some(sentence) if !sentence.contains(". ") => sentence.to_owned(),
        _ => text,
    }
}

/// `max_rows` becomes "Max rows".
pub(crate) fn label(name: &str) -> String {
    let words = name.replace(['_', '-'], " ");
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
