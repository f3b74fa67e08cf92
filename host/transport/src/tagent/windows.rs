//! Ending processes on a Windows target.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest command line of the command processor, in UTF-16 units.
pub(super) const MAX_COMMAND: usize = 8191;

/// Finds the processes whose command line holds `text`, itself excepted, with all their descendants; ends them and
/// looks again until none is left. It exits with 0 when none is left.
///
/// A process is told by its id and its time of creation, for ids are used again.
fn stop_script(text: &str) -> String {
    let text = text.replace('\'', "''");
    format!(
        r#"$ErrorActionPreference = 'SilentlyContinue'
$seen = @{{}}
for ($round = 0; $round -lt 25; $round++) {{
  $all = @(Get-WmiObject Win32_Process)
  if ($all.Count -eq 0) {{ exit 2 }}
  $mine = @($PID)
  $up = $all | Where-Object {{ $_.ProcessId -eq $PID }}
  while ($up) {{ $mine += $up.ParentProcessId; $next = $up.ParentProcessId; $up = $all | Where-Object {{ $_.ProcessId -eq $next }} ; if ($mine.Count -gt 64) {{ break }} }}
  foreach ($p in $all) {{ if ($p.CommandLine -and $p.CommandLine.Contains('{text}') -and $mine -notcontains $p.ProcessId) {{ $seen["$($p.ProcessId) $($p.CreationDate)"] = $true }} }}
  do {{
    $grown = $false
    $ids = @($all | Where-Object {{ $seen["$($_.ProcessId) $($_.CreationDate)"] }} | ForEach-Object {{ $_.ProcessId }})
    foreach ($p in $all) {{ if ($ids -contains $p.ParentProcessId -and $mine -notcontains $p.ProcessId -and -not $seen["$($p.ProcessId) $($p.CreationDate)"]) {{ $seen["$($p.ProcessId) $($p.CreationDate)"] = $true; $grown = $true }} }}
  }} while ($grown)
  $left = @($all | Where-Object {{ $seen["$($_.ProcessId) $($_.CreationDate)"] }})
  if ($left.Count -eq 0) {{ if ($seen.Count -eq 0) {{ exit 3 }} else {{ exit 0 }} }}
  foreach ($p in $left) {{ Stop-Process -Id $p.ProcessId -Force }}
  Start-Sleep -Milliseconds 200
}}
exit 1"#
    )
}

/// The command that runs it: encoded, so that nothing of it has to be quoted.
pub(super) fn stop_command(text: &str) -> String {
    let units: Vec<u8> = stop_script(text).encode_utf16().flat_map(u16::to_le_bytes).collect();
    format!("powershell -NoProfile -NonInteractive -EncodedCommand {}", STANDARD.encode(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_fits_and_holds_the_script() {
        let command = stop_command(r"C:\tagent\tmp\autoexec-620011223344-123456-12.0123456789ab");
        assert!(command.len() <= MAX_COMMAND, "{}", command.len());
        let encoded = command.rsplit(' ').next().unwrap();
        let units: Vec<u16> = STANDARD
            .decode(encoded)
            .unwrap()
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert!(String::from_utf16(&units).unwrap().contains(r"Contains('C:\tagent\tmp\autoexec-6200"));
    }
}
