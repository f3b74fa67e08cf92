//! What an operation needs on its target, whatever carries it there (`spec/plugin-contract.md` §8.5).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use autoexec_engine::ports::OperationCall;
use autoexec_model::Interpreter;
use autoexec_store::base_name;
use autoexec_transport::{UploadEntry, UploadSource};

use crate::catalog::Found;
use crate::settings::Shared;
use crate::unit::has_output;

/// The file of an operation's outputs, in its directory.
pub(crate) const OUTPUT_FILE: &str = "output.json";

/// The shared library, the bundle or the script, its input files, and an empty output file.
pub(crate) struct Delivery {
    /// Directory of the operation below the unit's; empty for the unit's own.
    pub(crate) directory: String,
    /// Name of the file that is started.
    pub(crate) file: String,
    /// What starts it.
    pub(crate) interpreter: Option<Interpreter>,
    /// Everything to send.
    pub(crate) entries: Vec<UploadEntry>,
    /// Bundle or library names whose trees are part of `entries`.
    pub(crate) trees: Vec<String>,
    /// Which of `entries`, by their destination, are the program and its script libraries: texts that a target with
    /// another charset needs converted.
    pub(crate) programs: Vec<String>,
    /// Which of `entries`, by their destination, are input files: what other operations do not see of each other.
    pub(crate) inputs: Vec<String>,
}

impl Delivery {
    /// Gathers what is not among the trees that were `sent` already.
    pub(crate) fn gather(
        shared: &Shared,
        call: &OperationCall<'_>,
        sent: &HashSet<String>,
    ) -> Result<Self, String> {
        let bundle = call.operation.name.bundle().to_owned();
        let mut delivery = Self {
            directory: bundle.clone(),
            file: String::new(),
            interpreter: call.call.interpreter,
            entries: Vec::new(),
            trees: Vec::new(),
            programs: Vec::new(),
            inputs: Vec::new(),
        };
        delivery.add_tree(shared, "lib", sent)?;
        if call.call.script.is_some() {
            let found = shared.scripts.script(call.operation)?;
            delivery.add_program(&found.path, &found.name, 0o700);
            for library in &found.libraries {
                delivery.add_program(&library.path, &library.name, library.mode);
            }
            delivery.file = found.name;
        } else {
            let Found::Remote(path) = shared.catalog.find(call.operation)? else {
                return Err(format!("The tool {} can not run on a target.", call.operation.name));
            };
            delivery.add_tree(shared, &bundle, sent)?;
            let name = call.operation.name.tool().to_owned();
            delivery.add_program(&path, &name, 0o700);
            delivery.file = name;
        }
        delivery.add_inputs(shared, call)?;
        Ok(delivery)
    }

    /// The operation's directory on a target whose unit has `root`.
    pub(crate) fn work_directory(&self, root: &str) -> String {
        if self.directory.is_empty() { root.to_owned() } else { format!("{root}/{}", self.directory) }
    }

    fn add_tree(&mut self, shared: &Shared, name: &str, sent: &HashSet<String>) -> Result<(), String> {
        let source = shared.settings.home.remote_plugins().join(name);
        if sent.contains(name) || !source.is_dir() {
            return Ok(());
        }
        let tree = UploadEntry::tree(&source, name)
            .map_err(|error| format!("Can not read {}: {error}", source.display()))?;
        self.entries.extend(tree);
        self.trees.push(name.to_owned());
        Ok(())
    }

    fn add_program(&mut self, source: &Path, name: &str, mode: u32) {
        let dest = self.in_directory(name);
        self.programs.push(dest.clone());
        self.entries.push(file_entry(source, dest, mode));
    }

    fn add_inputs(&mut self, shared: &Shared, call: &OperationCall<'_>) -> Result<(), String> {
        let mut sources: HashMap<String, &str> = HashMap::new();
        for path in call.inputs.uploads() {
            let source = shared.settings.job_dir.root().join(path);
            let name = base_name(path).map_err(|error| error.to_string())?;
            if !source.is_file() {
                return Err(format!("The file {} is missing.", source.display()));
            }
            if let Some(other) = sources.insert(name.clone(), path) {
                return Err(format!(
                    "The files {other} and {path} would both be file/{name} on the target: rename one of them."
                ));
            }
            let dest = self.in_directory(&format!("file/{name}"));
            self.inputs.push(dest.clone());
            self.entries.push(file_entry(&source, dest, 0o600));
        }
        if has_output(call) {
            let dest = self.in_directory(OUTPUT_FILE);
            self.entries.push(UploadEntry { source: UploadSource::Bytes(Vec::new()), dest, mode: 0o600 });
            if !self.directory.is_empty() {
                // An old library writes there (defect 83); what an operation before left must not be taken for this one's.
                let dest = OUTPUT_FILE.to_owned();
                self.entries.push(UploadEntry { source: UploadSource::Nothing, dest, mode: 0o600 });
            }
        }
        Ok(())
    }

    fn in_directory(&self, name: &str) -> String {
        if self.directory.is_empty() { name.to_owned() } else { format!("{}/{name}", self.directory) }
    }
}

fn file_entry(source: &Path, dest: String, mode: u32) -> UploadEntry {
    UploadEntry { source: UploadSource::File(source.to_owned()), dest, mode }
}
