// The nursery is closed when its block has ended: nobody can keep it to spawn later (case 94).
use pleach_executor::{Cancelled, Nursery, nursery, run};

fn main() {
    run(async {
        let mut kept: Option<&Nursery<'_, '_, Cancelled>> = None;
        let _ = nursery::<(), Cancelled, _>(async |n| {
            kept = Some(n);
            Ok(())
        })
        .await;
        kept.unwrap().spawn(async { Ok(()) });
    });
}
