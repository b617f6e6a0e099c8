//! `monitor … watch:SPEC`: what a switch is asked to tell of changes to its flows.
//!
//! Where it sits: `packets` sends the requests before it prints what comes.
//!
//! Spec: ovs-ofctl(8), `monitor`.

use openflow::Names;
use openflow::msg::{FlowMonitorRequest, MonitorFlags};

use super::flows;

/// Words that take something out of what is told.
const WITHOUT: [(&str, MonitorFlags); 6] = [
    ("!initial", MonitorFlags::INITIAL),
    ("!add", MonitorFlags::ADD),
    ("!delete", MonitorFlags::DELETE),
    ("!modify", MonitorFlags::MODIFY),
    ("!actions", MonitorFlags::ACTIONS),
    ("!own", MonitorFlags::OWN),
];

/// The monitor number `id` of a text such as `!initial,table=1,ip,out_port=3`.
pub fn parse(id: u32, spec: &str, names: &Names) -> Result<FlowMonitorRequest, String> {
    let mut request = FlowMonitorRequest::new(id, MonitorFlags::all());
    let mut flows = Vec::new();
    for item in spec.split([',', ' ']).filter(|item| !item.is_empty()) {
        match WITHOUT.iter().find(|(word, _)| *word == item) {
            Some((_, flag)) => request.flags.remove(*flag),
            None if item.starts_with('!') => return Err(format!("{spec}: field {item} missing value")),
            None => flows.push(item),
        }
    }
    let (flows, _) = flows::parse_request(&flows.join(","), names).map_err(|error| {
        // a table that is not there is told without the text around it
        if error.starts_with("unknown table") { error } else { format!("{spec}: {error}") }
    })?;
    Ok(FlowMonitorRequest {
        table_id: flows.table_id,
        out_port: flows.out_port,
        out_group: flows.out_group,
        matcher: flows.matcher,
        ..request
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_a_match_make_a_request() {
        let request = parse(7, "!initial,!own,table=3,tcp,out_port=2", &Names::none()).unwrap();
        assert_eq!((request.id, request.table_id, request.out_port.0), (7, 3, 2));
        let wanted = MonitorFlags::ADD | MonitorFlags::DELETE | MonitorFlags::MODIFY | MonitorFlags::ACTIONS;
        assert_eq!(request.flags, wanted);
        assert_eq!(parse(0, "", &Names::none()).unwrap(), FlowMonitorRequest::new(0, MonitorFlags::all()));
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_c() {
        for (spec, error) in [
            ("!foo", "!foo: field !foo missing value"),
            ("!initial,zz=3", "!initial,zz=3: unknown keyword zz"),
            ("table=zz", "unknown table \"zz\""),
        ] {
            assert_eq!(parse(0, spec, &Names::none()).unwrap_err(), error);
        }
    }
}
