//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields};

use crate::attributes::{Keys, documentation};
use crate::fields::json;

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(syn::Error::new(input.ident.span(), "choices are an enum"));
    };
    let mut entries = Vec::new();
    let (mut values, mut idents) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(syn::Error::new(variant.ident.span(), "a choice holds no values"));
        }
        let keys = Keys::read(&variant.attrs, "choice", &["value", "label"])?;
        let own = variant.ident.to_string();
        let value = keys.text("value")?.unwrap_or_else(|| own.to_lowercase());
        let documented = documentation(&variant.attrs);
        let label = keys.text("label")?.unwrap_or(if documented.is_empty() { own } else { documented });
        entries.push(format!("{{\"text\":{},\"value\":{}}}", json(&label), json(&value)));
        values.push(value);
        idents.push(&variant.ident);
    }
    let kind = format!("\"type\":\"select\",\"dataSource\":{{\"dataList\":[{}]}}", entries.join(","));
    let known = values.join(", ");
    let name = &input.ident;
    Ok(quote! {
        impl ::autoexec_sdk::options::OptionValue for #name {
            const KIND: &'static str = #kind;

            fn read(
                value: &::autoexec_sdk::serde_json::Value,
            ) -> ::core::result::Result<Self, ::std::string::String> {
                match value.as_str() {
                    #(::core::option::Option::Some(#values) => ::core::result::Result::Ok(Self::#idents),)*
                    _ => ::core::result::Result::Err(::std::format!("{value} is not one of {}", #known)),
                }
            }
        }

        impl #name {
            /// The choice as it is written in options.
            pub fn value(&self) -> &'static str {
                match self {
                    #(Self::#idents => #values,)*
                }
            }
        }
    })
}
