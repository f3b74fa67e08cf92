//! The derive macros of `autoexec-sdk`. Their documentation for tool authors is there, where they are used from.
//!
//! What a derive describes goes as JSON into a custom section of the core module. The build takes it out and makes it part of
//! the manifest, so that names, defaults and help are written once, in the code.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod attributes;
mod choice;
mod fields;
mod options;
mod outputs;

/// Reads a tool's options into the struct and describes them.
#[proc_macro_derive(Options, attributes(option))]
pub fn options(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), options::derive)
}

/// Reads options that several tools have in common, for a field with `#[option(flatten)]`.
#[proc_macro_derive(OptionGroup, attributes(option))]
pub fn option_group(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), options::derive_group)
}

/// Hands the struct's fields over as outputs and describes them.
#[proc_macro_derive(Outputs, attributes(output))]
pub fn outputs(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), outputs::derive)
}

/// Makes an enum without fields an option with a list of choices.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn choice(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), choice::derive)
}

fn expand(
    input: &DeriveInput,
    derive: fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    derive(input).unwrap_or_else(|error| error.to_compile_error()).into()
}
