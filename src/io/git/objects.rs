//! Raw objects, for their signatures.

use super::{GitError, Repository, failed};
use git2::Oid;

impl Repository {
    /// The bytes of an object that is here, as Git hashes them.
    ///
    /// # Errors
    /// [`GitError::Failed`] when it is not here or larger than `max` bytes.
    pub async fn object(&self, id: &str, max: usize) -> Result<Vec<u8>, GitError> {
        let id = Oid::from_str(id).map_err(failed)?;
        self.locally(move |repository| {
            let database = repository.odb().map_err(failed)?;
            let (size, _) = database.read_header(id).map_err(failed)?;
            if size > max {
                return Err(GitError::Failed {
                    detail: format!("object {id} has {size} bytes; {max} are read at most"),
                });
            }
            Ok(database.read(id).map_err(failed)?.data().to_vec())
        })
        .await
    }
}
