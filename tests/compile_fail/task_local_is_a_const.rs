// The address of a task-local is its name: a `const` has none of its own.
use pleach_executor::TaskLocal;

const NUMBER: TaskLocal<u32> = TaskLocal::new();

fn main() {
    let _ = NUMBER.get();
}
