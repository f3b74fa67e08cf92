//! Tool `demo/localremote`: shows every type of option and output, for each target, on the runner (spec/tools-behaviour/14-demo.md).

use autoexec_sdk::{Call, Tool, ToolResult};
use option_showcase::{Showcase, show};

struct LocalRemote;

impl Tool for LocalRemote {
    type Options = Showcase;

    fn run(call: Call<Showcase>) -> ToolResult {
        show(&call.options, call.text_arguments())
    }
}

autoexec_sdk::export_tool!(LocalRemote);
