//! Login with a key that signs by itself, which the binding does not offer.

use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use libssh2_sys as raw;
use ssh2::{Error, Session};

use super::fault::Fault;
use super::private_key::Ed25519Key;

/// Makes a signature in memory that libssh2 frees with its session's allocator, `malloc`'s.
type Sign = extern "C" fn(
    *mut raw::LIBSSH2_SESSION,
    *mut *mut u8,
    *mut usize,
    *const u8,
    usize,
    *mut *mut c_void,
) -> c_int;

#[expect(unsafe_code, reason = "libssh2-sys leaves this function of the library out")]
unsafe extern "C" {
    fn libssh2_userauth_publickey(
        session: *mut raw::LIBSSH2_SESSION,
        user: *const c_char,
        public: *const u8,
        public_length: usize,
        sign: Sign,
        context: *mut *mut c_void,
    ) -> c_int;
}

/// One step of the login of `user` (without NUL bytes) with `key`; to be repeated while it would block.
pub(super) fn log_in(session: &Session, user: &str, key: &Ed25519Key) -> Result<(), Fault> {
    let user = CString::new(user).map_err(|_| Fault::of_ours("the user name holds a NUL byte"))?;
    let public = key.public_blob();
    let mut context = std::ptr::from_ref(key).cast_mut().cast::<c_void>();
    #[expect(unsafe_code, reason = "a safe form of this call does not exist")]
    let code = {
        let mut session = session.raw();
        // SAFETY: the guard holds the session's lock; name, public key, `key` and `context` outlive the call, which keeps no
        // pointer to them; libssh2 hands `context` to `sign` as it is.
        unsafe {
            libssh2_userauth_publickey(
                &raw mut *session,
                user.as_ptr(),
                public.as_ptr(),
                public.len(),
                sign,
                &raw mut context,
            )
        }
    };
    if code == 0 { Ok(()) } else { Err(Error::from_session_error(session, code).into()) }
}

extern "C" fn sign(
    _session: *mut raw::LIBSSH2_SESSION,
    signature: *mut *mut u8,
    length: *mut usize,
    message: *const u8,
    message_length: usize,
    context: *mut *mut c_void,
) -> c_int {
    #[expect(unsafe_code, reason = "the arguments are those of a C function")]
    // SAFETY: `context` points to where the key is that `log_in` lends; libssh2 passes a message of that length.
    let (key, message) =
        unsafe { (&*(*context).cast::<Ed25519Key>(), std::slice::from_raw_parts(message, message_length)) };
    // Nothing may unwind into C.
    let Ok(Some(made)) = catch_unwind(AssertUnwindSafe(|| key.sign(message))) else {
        return raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED;
    };
    let made = made.as_ref();
    #[expect(unsafe_code, reason = "the memory is handed to C")]
    // SAFETY: the memory is as long as what is copied; the two results are libssh2's own variables.
    unsafe {
        let memory = libc::malloc(made.len()).cast::<u8>();
        if memory.is_null() {
            return raw::LIBSSH2_ERROR_ALLOC;
        }
        std::ptr::copy_nonoverlapping(made.as_ptr(), memory, made.len());
        *signature = memory;
        *length = made.len();
    }
    0
}
