//! Tool `demo/local`: shows every type of option and output, on the runner (spec/tools-behaviour/14-demo.md).

use autoexec_sdk::{Call, Tool, ToolResult};
use option_showcase::{Showcase, show};

struct Local;

impl Tool for Local {
    type Options = Showcase;

    fn run(call: Call<Showcase>) -> ToolResult {
        show(&call.options, call.text_arguments())
    }
}

autoexec_sdk::export_tool!(Local);
