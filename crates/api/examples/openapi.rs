//! Prints the description of the API: how `openapi.json` in the project's root is made.

fn main() {
    println!("{:#}", weft_api::openapi());
}
