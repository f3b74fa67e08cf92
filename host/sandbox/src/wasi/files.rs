//! `wasi:filesystem` with two more guards: nothing but regular files and directories is opened (a FIFO would hold a thread,
//! a device may do anything), and the number of open ones is limited.

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host, HostDescriptor, OpenFlags, PathFlags,
};

use crate::state::CallState;

type OpenAt = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> Result<()> {
    let mut types = linker.instance(&super::interface("filesystem/types"))?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, CallState>, call: OpenAt| {
            Box::new(async move {
                let state = store.data_mut();
                let opened = open_at(state, call).await;
                Ok((match opened {
                    Ok(descriptor) => Ok(descriptor),
                    Err(error) => Err(Host::convert_error_code(&mut state.filesystem(), error)?),
                },))
            })
        },
    )?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), |mut store, rep| {
        let state = store.data_mut();
        state.open_files.remove(&rep);
        HostDescriptor::drop(&mut state.filesystem(), Resource::new_own(rep))
    })
}

async fn open_at(state: &mut CallState, call: OpenAt) -> FsResult<Resource<Descriptor>> {
    let (directory, path_flags, path, open_flags, flags) = call;
    let directory = || Resource::new_borrow(directory.rep());
    let counted = match state.border.file() {
        Ok(counted) => counted,
        Err(reached) => {
            state.border.tell(&reached);
            return Err(ErrorCode::InsufficientMemory.into());
        }
    };
    // Looked at before it is opened, as opening alone can block or do something.
    if let Ok(known) = state.filesystem().stat_at(directory(), PathFlags::SYMLINK_FOLLOW, path.clone()).await
    {
        check(known.type_, known.link_count)?;
    }
    let opened = state.filesystem().open_at(directory(), path_flags, path, open_flags, flags).await?;
    let known = state.filesystem().stat(Resource::new_borrow(opened.rep())).await?;
    if let Err(error) = check(known.type_, known.link_count) {
        HostDescriptor::drop(&mut state.filesystem(), opened).map_err(wasmtime_wasi::p2::FsError::trap)?;
        return Err(error);
    }
    state.open_files.insert(opened.rep(), counted);
    Ok(opened)
}

fn check(kind: DescriptorType, names: u64) -> FsResult<()> {
    match kind {
        DescriptorType::Directory => Ok(()),
        DescriptorType::RegularFile if names <= 1 => Ok(()),
        _ => Err(ErrorCode::NotPermitted.into()),
    }
}
