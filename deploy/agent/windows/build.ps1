# Build the agent's MSI on Windows: Python 3.11 or newer and WiX (dotnet tool install --global wix).
#
#   deploy\agent\windows\build.ps1 [-Out build]
#
# Never run yet: no Windows machine was at hand. Then:
#   msiexec /i inopsio-agent-0.1.0.msi /qn INOPSIO_URL=https://house:8601 INOPSIO_TOKEN=... INOPSIO_CA_FINGERPRINT=sha256:...
param([string]$Out = "build")
$ErrorActionPreference = "Stop"
$root = Resolve-Path "$PSScriptRoot\..\..\.."
$version = (Select-String -Path "$root\pyproject.toml" -Pattern '^version = "(.*)"').Matches[0].Groups[1].Value
$work = Join-Path ([IO.Path]::GetTempPath()) ([Guid]::NewGuid())
New-Item -ItemType Directory -Force -Path $work, "$root\$Out" | Out-Null
try {
    python -m venv "$work\venv"
    & "$work\venv\Scripts\pip" install --quiet --require-hashes -r "$root\deploy\agent\requirements.lock"
    & "$work\venv\Scripts\pip" install --quiet "psutil>=7"
    Copy-Item -Recurse "$root\agent" "$work\agent"
    Set-Content -Encoding ascii -Path "$work\agent\version.txt" -Value $version
    Set-Content -Encoding ascii -Path "$work\start.py" -Value "from agent.cli import main`n`nmain()"
    Push-Location $work
    & "$work\venv\Scripts\pyinstaller" --log-level ERROR --noconfirm --onedir --name inopsio-agent --paths . `
        --collect-submodules agent --collect-data agent --hidden-import psutil start.py
    Pop-Location
    wix build -arch x64 -d "Version=$version" -d "Tree=$work\dist\inopsio-agent" `
        -o "$root\$Out\inopsio-agent-$version.msi" "$PSScriptRoot\agent.wxs"
    Write-Output "$root\$Out\inopsio-agent-$version.msi"
}
finally {
    Remove-Item -Recurse -Force $work
}
